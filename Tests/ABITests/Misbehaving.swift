import Ferry
import FerrySystem
import Glibc
import TestSupport

/// A plugin in C that does in `transfer` what its config says, well or badly.
enum Misbehaving {
  static let source = #"""
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <errno.h>
    #include <fcntl.h>
    #include <signal.h>
    #include <stdatomic.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/socket.h>
    #include <unistd.h>
    #include "ferry/plugin.h"
    #ifndef MODULE_SIZE
    #define MODULE_SIZE sizeof(ferry_module)
    #endif
    #ifndef PROVIDER_SIZE
    #define PROVIDER_SIZE sizeof(ferry_provider)
    #endif
    #ifndef ID
    #define ID "odd"
    #endif
    #ifndef SCHEMA
    #define SCHEMA "{}"
    #endif

    static const ferry_host *host;
    static const ferry_log *logs;
    static const ferry_kv *kv;
    static const ferry_json *json;
    static const ferry_secret *secrets;
    static const ferry_tmp *tmp;
    static const ferry_process *processes;
    static const ferry_progress *progress;
    static char act[64], key[256], config[4096];
    static atomic_int cancelled;

    static void text(const char *pointer, char *out, size_t size) {
      uint64_t length = 0;
      out[0] = 0;
      json->get(host, config, pointer, out, size, &length);
    }
    static ferry_status create(const ferry_host *h, const ferry_item *item, void **self) {
      host = h;
      logs = (const ferry_log *)h->get_service(h, "ferry.log/1");
      kv = (const ferry_kv *)h->get_service(h, "ferry.kv/1");
      json = (const ferry_json *)h->get_service(h, "ferry.json/1");
      secrets = (const ferry_secret *)h->get_service(h, "ferry.secret/1");
      tmp = (const ferry_tmp *)h->get_service(h, "ferry.tmp/1");
      processes = (const ferry_process *)h->get_service(h, "ferry.process/1");
      progress = (const ferry_progress *)h->get_service(h, "ferry.progress/1");
      if (h->get_service(h, "ferry.nonsense/1")) abort();
      snprintf(config, sizeof config, "%s", item->config);
      text("/endpoint/do", act, sizeof act);
      text("/endpoint/key", key, sizeof key);
      if (!strcmp(act, "no-create")) {
        h->fail(h, "the state cannot be found", "look elsewhere");
        return FERRY_NOT_FOUND;
      }
      if (!strcmp(act, "crash-create")) abort();
      *self = &act;
      return FERRY_OK;
    }
    static void destroy(void *self) { (void)self; }
    static void answer(const char *format, long long value) {
      char line[256];
      snprintf(line, sizeof line, format, value);
      host->reply(host, line);
    }
    static int is(const char *name) { return strcmp(act, name) == 0; }
    static ferry_status transfer(void *self, const ferry_args *args) {
      (void)self;
      uint64_t length = 0;
      if (is("segfault")) *(volatile int *)8 = 1;
      if (is("abort")) {
        fprintf(stderr, "famous last words\n");
        abort();
      }
      if (is("exit")) exit(0);
      if (is("kill")) raise(SIGKILL);
      if (is("hang")) for (;;) pause();
      if (is("steady")) {
        ferry_progress_report now = {.struct_size = sizeof now, .bytes_total = 30};
        for (now.bytes = 0; now.bytes < 30; now.bytes++) {
          progress->report(host, &now);
          usleep(100000);
        }
      }
      if (is("wait")) {
        char path[4096];
        snprintf(path, sizeof path, "%s/waits", tmp->path(host));
        close(open(path, O_CREAT | O_WRONLY, 0600));
        while (!atomic_load(&cancelled)) usleep(1000);
        host->fail(host, "the wait was cancelled", "");
        return FERRY_CANCELLED;
      }
      if (is("flood")) for (int i = 0; i < 20000; i++) {
        fprintf(stderr, "flood %d\n", i);
        logs->write(host, FERRY_LOG_INFO, "flood by the service");
      }
      if (is("long-line")) {
        char line[100000];
        memset(line, 'x', sizeof line - 1);
        line[sizeof line - 1] = 0;
        logs->write(host, FERRY_LOG_WARNING, line);
      }
      if (is("scribble-3")) if (write(3, "garbage\n", 8) < 0) {}
      if (is("scribble-all")) for (int fd = 3; fd < 200; fd++) if (write(fd, "garbage\n", 8) < 0) {}
      if (is("close-all")) for (int fd = 3; fd < 200; fd++) close(fd);
      if (is("bad-json")) return host->reply(host, "{\"bytes\": "), FERRY_OK;
      if (is("no-object")) return host->reply(host, "[1]"), FERRY_OK;
      if (is("negative")) return host->reply(host, "{\"bytes\": -1}"), FERRY_OK;
      if (is("status")) return 99;
      if (is("silent")) return FERRY_IO;
      if (is("fail")) return host->fail(host, "the disk is gone", "plug it in again"), FERRY_PRECONDITION;
      if (is("orphan") || is("linger")) {
        if (fork() == 0) {
          setpgid(0, 0);
          if (fork() == 0) {
            char pid[32];
            int n = snprintf(pid, sizeof pid, "%d", getpid());
            kv->put(host, "orphan", pid, (uint64_t)n);
            for (;;) pause();
          }
          _exit(0);
        }
        while (kv->get(host, "orphan", NULL, 0, &length) != FERRY_OK) usleep(1000);
        if (is("linger")) for (;;) pause();
        abort();
      }
      if (is("echo")) {
        char bytes[5];
        if (args->channel_count != 2 || read(args->channels[0], bytes, 5) != 5 || write(args->channels[1], bytes, 5) != 5) return FERRY_IO;
        answer("{\"bytes\": %lld}", args->pass * 10 + args->flags);
      }
      if (is("put")) {
        char size[32], *value;
        text("/endpoint/size", size, sizeof size);
        value = (char *)calloc(1, (size_t)atoll(size) + 1);
        ferry_status status = kv->put(host, key, value, (uint64_t)atoll(size));
        free(value);
        return status;
      }
      if (is("get")) {
        ferry_status status = kv->get(host, key, NULL, 0, &length);
        if (status != FERRY_OK) return status;
        answer("{\"bytes\": %lld}", (long long)length);
      }
      if (is("remove")) return kv->remove(host, key);
      if (is("secret")) {
        char value[64] = {0};
        ferry_status status = secrets->get(host, key, value, sizeof value - 1, &length);
        if (status != FERRY_OK) return status;
        logs->write(host, FERRY_LOG_INFO, value);
        fprintf(stderr, "leaks %s\n", value);
        answer("{\"bytes\": %lld, \"entries\": 1}", (long long)length);
        if (getenv("FERRY_TEST_ABORT")) abort();
        host->fail(host, value, value);
        return strcmp(value, "correct horse battery") == 0 ? FERRY_AUTH : FERRY_INTERNAL;
      }
      if (is("run")) {
        const char *argv[] = {"sh", "-c", "echo out; echo err >&2; exit 7", NULL};
        ferry_command command = {.struct_size = sizeof command, .argv = argv, .stdin_fd = -1, .stdout_fd = -1};
        int32_t code = 0;
        char errors[64];
        ferry_status status = processes->run(host, &command, &code, errors, sizeof errors);
        if (status != FERRY_OK || strcmp(errors, "err\n") != 0) return FERRY_INTERNAL;
        answer("{\"bytes\": %lld}", code);
      }
      if (is("run-long")) {
        const char *argv[] = {"sleep", "1000", NULL};
        ferry_command command = {.struct_size = sizeof command, .argv = argv, .stdin_fd = -1, .stdout_fd = -1};
        int32_t code = 0;
        logs->write(host, FERRY_LOG_INFO, "running");
        return processes->run(host, &command, &code, NULL, 0);
      }
      if (is("tmp")) {
        char path[4096];
        snprintf(path, sizeof path, "%s/file", tmp->path(host));
        int file = open(path, O_CREAT | O_WRONLY, 0600);
        if (file < 0) return FERRY_IO;
        close(file);
      }
    #ifdef __cplusplus
      if (is("throw")) throw 1;
    #endif
      return FERRY_OK;
    }
    static ferry_status fine(void *self, const ferry_args *args) {
      (void)self, (void)args;
      return FERRY_OK;
    }
    static void cancel(void *self) {
      (void)self;
      atomic_store(&cancelled, 1);
    }

    static struct {
      ferry_provider provider;
      char garbage[64];
    } table;
    static const ferry_provider *providers[2];
    static struct {
      ferry_module module;
      char garbage[64];
    } self;

    const ferry_module *ferry_module_v1(void) {
    #ifdef NULL_MODULE
      return NULL;
    #endif
    #ifdef CRASH_MODULE
      abort();
    #endif
    #ifdef PRINTING
      printf("{\"reply\": \"a plugin that talks\"}\n");
      fflush(stdout);
    #endif
      memset(&table, 0xa5, sizeof table);
      memset(&self, 0xa5, sizeof self);
      ferry_provider *p = &table.provider;
      memset(p, 0, sizeof *p);
      p->struct_size = PROVIDER_SIZE;
      p->id = ID;
      p->summary = "does what it is told";
      p->schema = SCHEMA;
      p->create = create;
      p->destroy = destroy;
      p->check = p->prepare = p->receive = p->digest = p->activate = p->deactivate = p->discard = p->release = p->retire = fine;
      p->transfer = transfer;
      p->cancel = cancel;
    #ifdef NO_CANCEL
      p->cancel = NULL;
    #endif
    #ifdef NO_DISCARD
      p->discard = NULL;
    #endif
      ferry_module *m = &self.module;
      memset(m, 0, sizeof *m);
      m->struct_size = MODULE_SIZE;
      m->abi_minor = FERRY_ABI_MINOR;
      m->name = "Odd";
      m->version = "1";
      m->vendor = "Tests";
      m->provider_count = 1;
      m->providers = providers;
      providers[0] = p;
    #ifdef NULL_PROVIDER
      providers[0] = NULL;
    #endif
    #ifdef TWICE
      providers[1] = p;
      m->provider_count = 2;
    #endif
      return m;
    }
    """#

  /// The plugin without any option, built once.
  static let plain = Result { try build(in: shared, "odd.so") }
  static let shared = Result { try TemporaryFolder() }

  /// Builds the plugin into a folder with options such as `-DNO_CANCEL`.
  static func build(in folder: Result<TemporaryFolder, any Error>, _ name: String, _ options: [String] = []) throws -> String {
    let folder = try folder.get()
    let cplusplus = options.contains("c++")
    let code = try folder.write("\(name).\(cplusplus ? "cc" : "c")", cplusplus ? source.replacingAtomics : source)
    return try compile(code, to: folder(name), compiler: cplusplus ? "c++" : "cc", options.filter { $0 != "c++" })
  }

  /// What a vendor runs, and no more.
  @discardableResult static func compile(_ code: String, to path: String, compiler: String = "cc", _ options: [String] = []) throws
    -> String
  {
    let include = "-I\(Products.repository)/include"
    let outcome = try Command([compiler, "-shared", "-fPIC", include] + options + ["-o", path, code], timeout: .seconds(120)).run()
    guard outcome.succeeded else { throw FerryError(.internal, "\(compiler): \(outcome.errors)") }
    _ = chmod(path, 0o644)
    return path
  }
}

extension String {
  /// The one header that C and C++ do not share.
  fileprivate var replacingAtomics: String {
    split(separator: "\n", omittingEmptySubsequences: false).map { line in
      line.hasPrefix("#include <stdatomic.h>")
        ? "#include <atomic>\nusing std::atomic_int; using std::atomic_load; using std::atomic_store;" : String(line)
    }.joined(separator: "\n")
  }
}
