/* The layout is frozen by name and offset, as plugin.c freezes that of plugin.h. */
#include "ferry/embed.h"

#include <stddef.h>

_Static_assert(offsetof(ferry_error, struct_size) == 0, "ferry_error.struct_size moved");
_Static_assert(offsetof(ferry_error, status) == 4, "ferry_error.status moved");
_Static_assert(offsetof(ferry_error, exit_code) == 8, "ferry_error.exit_code moved");
_Static_assert(offsetof(ferry_error, reserved) == 12, "ferry_error.reserved moved");
_Static_assert(offsetof(ferry_error, class_name) == 16, "ferry_error.class_name moved");
_Static_assert(offsetof(ferry_error, code) == 24, "ferry_error.code moved");
_Static_assert(offsetof(ferry_error, message) == 32, "ferry_error.message moved");
_Static_assert(offsetof(ferry_error, hint) == 40, "ferry_error.hint moved");
_Static_assert(offsetof(ferry_error, json) == 48, "ferry_error.json moved");
_Static_assert(sizeof(ferry_error) == 56, "ferry_error changed size");

_Static_assert(offsetof(ferry_options, struct_size) == 0, "ferry_options.struct_size moved");
_Static_assert(offsetof(ferry_options, flags) == 4, "ferry_options.flags moved");
_Static_assert(offsetof(ferry_options, state_folder) == 8, "ferry_options.state_folder moved");
_Static_assert(offsetof(ferry_options, plugin_folders) == 16, "ferry_options.plugin_folders moved");
_Static_assert(offsetof(ferry_options, executable) == 24, "ferry_options.executable moved");
_Static_assert(offsetof(ferry_options, ssh_config) == 32, "ferry_options.ssh_config moved");
_Static_assert(sizeof(ferry_options) == 40, "ferry_options changed size");

_Static_assert(offsetof(ferry_run_options, struct_size) == 0, "ferry_run_options.struct_size moved");
_Static_assert(offsetof(ferry_run_options, flags) == 4, "ferry_run_options.flags moved");
_Static_assert(offsetof(ferry_run_options, max_downtime) == 8, "ferry_run_options.max_downtime moved");
_Static_assert(offsetof(ferry_run_options, hold_before) == 16, "ferry_run_options.hold_before moved");
_Static_assert(sizeof(ferry_run_options) == 24, "ferry_run_options changed size");
