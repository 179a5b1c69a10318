/* The layout is frozen by name and offset: a change that moves a member does not compile. LP64 is what Ferry runs on. */
#include "ferry/plugin.h"

#include <stddef.h>

_Static_assert(offsetof(ferry_host, struct_size) == 0, "ferry_host.struct_size moved");
_Static_assert(offsetof(ferry_host, reserved) == 4, "ferry_host.reserved moved");
_Static_assert(offsetof(ferry_host, context) == 8, "ferry_host.context moved");
_Static_assert(offsetof(ferry_host, fail) == 16, "ferry_host.fail moved");
_Static_assert(offsetof(ferry_host, reply) == 24, "ferry_host.reply moved");
_Static_assert(offsetof(ferry_host, get_service) == 32, "ferry_host.get_service moved");
_Static_assert(sizeof(ferry_host) == 40, "ferry_host changed size");

_Static_assert(offsetof(ferry_log, struct_size) == 0, "ferry_log.struct_size moved");
_Static_assert(offsetof(ferry_log, reserved) == 4, "ferry_log.reserved moved");
_Static_assert(offsetof(ferry_log, write) == 8, "ferry_log.write moved");
_Static_assert(sizeof(ferry_log) == 16, "ferry_log changed size");

_Static_assert(offsetof(ferry_progress_report, struct_size) == 0, "ferry_progress_report.struct_size moved");
_Static_assert(offsetof(ferry_progress_report, reserved) == 4, "ferry_progress_report.reserved moved");
_Static_assert(offsetof(ferry_progress_report, bytes) == 8, "ferry_progress_report.bytes moved");
_Static_assert(offsetof(ferry_progress_report, bytes_total) == 16, "ferry_progress_report.bytes_total moved");
_Static_assert(offsetof(ferry_progress_report, entries) == 24, "ferry_progress_report.entries moved");
_Static_assert(offsetof(ferry_progress_report, entries_total) == 32, "ferry_progress_report.entries_total moved");
_Static_assert(sizeof(ferry_progress_report) == 40, "ferry_progress_report changed size");

_Static_assert(offsetof(ferry_progress, struct_size) == 0, "ferry_progress.struct_size moved");
_Static_assert(offsetof(ferry_progress, reserved) == 4, "ferry_progress.reserved moved");
_Static_assert(offsetof(ferry_progress, report) == 8, "ferry_progress.report moved");
_Static_assert(sizeof(ferry_progress) == 16, "ferry_progress changed size");

_Static_assert(offsetof(ferry_kv, struct_size) == 0, "ferry_kv.struct_size moved");
_Static_assert(offsetof(ferry_kv, reserved) == 4, "ferry_kv.reserved moved");
_Static_assert(offsetof(ferry_kv, get) == 8, "ferry_kv.get moved");
_Static_assert(offsetof(ferry_kv, put) == 16, "ferry_kv.put moved");
_Static_assert(offsetof(ferry_kv, remove) == 24, "ferry_kv.remove moved");
_Static_assert(sizeof(ferry_kv) == 32, "ferry_kv changed size");

_Static_assert(offsetof(ferry_secret, struct_size) == 0, "ferry_secret.struct_size moved");
_Static_assert(offsetof(ferry_secret, reserved) == 4, "ferry_secret.reserved moved");
_Static_assert(offsetof(ferry_secret, get) == 8, "ferry_secret.get moved");
_Static_assert(sizeof(ferry_secret) == 16, "ferry_secret changed size");

_Static_assert(offsetof(ferry_tmp, struct_size) == 0, "ferry_tmp.struct_size moved");
_Static_assert(offsetof(ferry_tmp, reserved) == 4, "ferry_tmp.reserved moved");
_Static_assert(offsetof(ferry_tmp, path) == 8, "ferry_tmp.path moved");
_Static_assert(sizeof(ferry_tmp) == 16, "ferry_tmp changed size");

_Static_assert(offsetof(ferry_json, struct_size) == 0, "ferry_json.struct_size moved");
_Static_assert(offsetof(ferry_json, reserved) == 4, "ferry_json.reserved moved");
_Static_assert(offsetof(ferry_json, get) == 8, "ferry_json.get moved");
_Static_assert(sizeof(ferry_json) == 16, "ferry_json changed size");

_Static_assert(offsetof(ferry_command, struct_size) == 0, "ferry_command.struct_size moved");
_Static_assert(offsetof(ferry_command, flags) == 4, "ferry_command.flags moved");
_Static_assert(offsetof(ferry_command, argv) == 8, "ferry_command.argv moved");
_Static_assert(offsetof(ferry_command, envp) == 16, "ferry_command.envp moved");
_Static_assert(offsetof(ferry_command, directory) == 24, "ferry_command.directory moved");
_Static_assert(offsetof(ferry_command, stdin_fd) == 32, "ferry_command.stdin_fd moved");
_Static_assert(offsetof(ferry_command, stdout_fd) == 36, "ferry_command.stdout_fd moved");
_Static_assert(sizeof(ferry_command) == 40, "ferry_command changed size");

_Static_assert(offsetof(ferry_process, struct_size) == 0, "ferry_process.struct_size moved");
_Static_assert(offsetof(ferry_process, reserved) == 4, "ferry_process.reserved moved");
_Static_assert(offsetof(ferry_process, run) == 8, "ferry_process.run moved");
_Static_assert(sizeof(ferry_process) == 16, "ferry_process changed size");

_Static_assert(offsetof(ferry_item, struct_size) == 0, "ferry_item.struct_size moved");
_Static_assert(offsetof(ferry_item, side) == 4, "ferry_item.side moved");
_Static_assert(offsetof(ferry_item, run) == 8, "ferry_item.run moved");
_Static_assert(offsetof(ferry_item, name) == 16, "ferry_item.name moved");
_Static_assert(offsetof(ferry_item, config) == 24, "ferry_item.config moved");
_Static_assert(offsetof(ferry_item, provider) == 32, "ferry_item.provider moved");
_Static_assert(sizeof(ferry_item) == 40, "ferry_item changed size");

_Static_assert(offsetof(ferry_args, struct_size) == 0, "ferry_args.struct_size moved");
_Static_assert(offsetof(ferry_args, flags) == 4, "ferry_args.flags moved");
_Static_assert(offsetof(ferry_args, pass) == 8, "ferry_args.pass moved");
_Static_assert(offsetof(ferry_args, channel_count) == 12, "ferry_args.channel_count moved");
_Static_assert(offsetof(ferry_args, channels) == 16, "ferry_args.channels moved");
_Static_assert(offsetof(ferry_args, json) == 24, "ferry_args.json moved");
_Static_assert(sizeof(ferry_args) == 32, "ferry_args changed size");

_Static_assert(offsetof(ferry_provider, struct_size) == 0, "ferry_provider.struct_size moved");
_Static_assert(offsetof(ferry_provider, flags) == 4, "ferry_provider.flags moved");
_Static_assert(offsetof(ferry_provider, id) == 8, "ferry_provider.id moved");
_Static_assert(offsetof(ferry_provider, summary) == 16, "ferry_provider.summary moved");
_Static_assert(offsetof(ferry_provider, schema) == 24, "ferry_provider.schema moved");
_Static_assert(offsetof(ferry_provider, create) == 32, "ferry_provider.create moved");
_Static_assert(offsetof(ferry_provider, destroy) == 40, "ferry_provider.destroy moved");
_Static_assert(offsetof(ferry_provider, check) == 48, "ferry_provider.check moved");
_Static_assert(offsetof(ferry_provider, prepare) == 56, "ferry_provider.prepare moved");
_Static_assert(offsetof(ferry_provider, transfer) == 64, "ferry_provider.transfer moved");
_Static_assert(offsetof(ferry_provider, receive) == 72, "ferry_provider.receive moved");
_Static_assert(offsetof(ferry_provider, freeze) == 80, "ferry_provider.freeze moved");
_Static_assert(offsetof(ferry_provider, thaw) == 88, "ferry_provider.thaw moved");
_Static_assert(offsetof(ferry_provider, digest) == 96, "ferry_provider.digest moved");
_Static_assert(offsetof(ferry_provider, activate) == 104, "ferry_provider.activate moved");
_Static_assert(offsetof(ferry_provider, deactivate) == 112, "ferry_provider.deactivate moved");
_Static_assert(offsetof(ferry_provider, discard) == 120, "ferry_provider.discard moved");
_Static_assert(offsetof(ferry_provider, release) == 128, "ferry_provider.release moved");
_Static_assert(offsetof(ferry_provider, retire) == 136, "ferry_provider.retire moved");
_Static_assert(offsetof(ferry_provider, cancel) == 144, "ferry_provider.cancel moved");
_Static_assert(offsetof(ferry_provider, get_extension) == 152, "ferry_provider.get_extension moved");
_Static_assert(sizeof(ferry_provider) == 160, "ferry_provider changed size");

_Static_assert(offsetof(ferry_module, struct_size) == 0, "ferry_module.struct_size moved");
_Static_assert(offsetof(ferry_module, abi_minor) == 4, "ferry_module.abi_minor moved");
_Static_assert(offsetof(ferry_module, name) == 8, "ferry_module.name moved");
_Static_assert(offsetof(ferry_module, version) == 16, "ferry_module.version moved");
_Static_assert(offsetof(ferry_module, vendor) == 24, "ferry_module.vendor moved");
_Static_assert(offsetof(ferry_module, provider_count) == 32, "ferry_module.provider_count moved");
_Static_assert(offsetof(ferry_module, reserved) == 36, "ferry_module.reserved moved");
_Static_assert(offsetof(ferry_module, providers) == 40, "ferry_module.providers moved");
_Static_assert(sizeof(ferry_module) == 48, "ferry_module changed size");

_Static_assert(offsetof(ferry_deferred, struct_size) == 0, "ferry_deferred.struct_size moved");
_Static_assert(offsetof(ferry_deferred, reserved) == 4, "ferry_deferred.reserved moved");
_Static_assert(offsetof(ferry_deferred, deposit) == 8, "ferry_deferred.deposit moved");
_Static_assert(offsetof(ferry_deferred, snapshots) == 16, "ferry_deferred.snapshots moved");
_Static_assert(offsetof(ferry_deferred, recall) == 24, "ferry_deferred.recall moved");
_Static_assert(sizeof(ferry_deferred) == 32, "ferry_deferred changed size");
_Static_assert(offsetof(ferry_follow, struct_size) == 0, "ferry_follow.struct_size moved");
_Static_assert(offsetof(ferry_follow, reserved) == 4, "ferry_follow.reserved moved");
_Static_assert(offsetof(ferry_follow, wind_up) == 8, "ferry_follow.wind_up moved");
_Static_assert(sizeof(ferry_follow) == 16, "ferry_follow changed size");
