import FerrySystem
import TestSupport

/// The teaching plugin with a wrapper around each call that can go wrong in every way a plugin can, when a file beside the nodes says so:
/// `SIDE CALL HOW`, where CALL may carry `-final`. A call that waits makes a file of that name with `-reached`, and goes on once the first is gone.
package enum Misbehaviour {
  static let source = #"""
    #define _GNU_SOURCE
    #define ferry_module_v1 teaching_module
    #include "example.c"
    #undef ferry_module_v1
    #include <signal.h>

    static char order_file[4096];
    static ferry_status (*create_inner)(const ferry_host *, const ferry_item *, void **);
    static const char *side_name;

    static int told(const char *call, uint32_t flags, char *how) {
      char side[64], name[64];
      FILE *file = fopen(order_file, "r");
      if (!file) return 0;
      int read = fscanf(file, "%63s %63s %63s", side, name, how);
      fclose(file);
      char full[64];
      snprintf(full, sizeof full, "%s%s", call, flags & FERRY_FINAL_PASS ? "-final" : "");
      return read == 3 && strcmp(side, side_name) == 0 && strcmp(name, full) == 0;
    }

    static int goes_wrong(const char *call, const ferry_args *args) {
      char how[64];
      if (!told(call, args->flags, how)) return 0;
      if (strcmp(how, "segfault") == 0) raise(SIGSEGV);
      if (strcmp(how, "abort") == 0) abort();
      if (strcmp(how, "exit") == 0) _exit(0);
      if (strcmp(how, "garbage") == 0) {
        for (int fd = 3; fd < 256; fd++) (void)!write(fd, "}{ not a message\n", 17);
        sleep(600);
      }
      if (strcmp(how, "hang") == 0) sleep(600);
      if (strcmp(how, "wait") == 0) {
        char reached[4200];
        snprintf(reached, sizeof reached, "%s-reached", order_file);
        close(open(reached, O_WRONLY | O_CREAT, 0600));
        while (access(order_file, F_OK) == 0) usleep(10000);
      }
      return strcmp(how, "error") == 0;
    }

    static ferry_provider outer;
    static ferry_provider inner;
    #define WRAP(call) \
      static ferry_status wrapped_##call(void *self, const ferry_args *args) { \
        if (goes_wrong(#call, args)) return FERRY_IO; \
        ferry_status status = inner.call ? inner.call(self, args) : FERRY_OK; \
        char how[64] = ""; \
        const ferry_host *host = ((instance *)self)->host; \
        if (told(#call, args->flags, how) && strcmp(how, "unread") == 0) host->reply(host, "{\"unread\": [\"one\", \"two\"]}"); \
        return status; \
      }
    WRAP(check) WRAP(prepare) WRAP(transfer) WRAP(receive) WRAP(freeze) WRAP(thaw) WRAP(digest) WRAP(activate)

    static ferry_status misbehaving_create(const ferry_host *host, const ferry_item *item, void **self) {
      const char *path = strstr(item->config, "/tmp/");
      if (path) {
        const char *end = strstr(path + 5, "/");
        snprintf(order_file, sizeof order_file, "%.*s/misbehave", (int)(end - path), path);
      }
      side_name = item->side == FERRY_SOURCE ? "source" : "destination";
      return create_inner(host, item, self);
    }

    const ferry_module *ferry_module_v1(void) {
      static const ferry_provider *providers[1] = {&outer};
      static ferry_module module;
      module = *teaching_module();
      inner = *module.providers[0];
      outer = inner;
      create_inner = inner.create;
      outer.create = misbehaving_create;
      outer.check = wrapped_check; outer.prepare = wrapped_prepare; outer.transfer = wrapped_transfer; outer.receive = wrapped_receive;
      outer.freeze = wrapped_freeze; outer.thaw = wrapped_thaw; outer.digest = wrapped_digest; outer.activate = wrapped_activate;
      module.providers = providers;
      return &module;
    }
    """#

  private static let built: Result<(TemporaryFolder, String), any Error> = Result {
    let folder = try TemporaryFolder()
    let code = try folder.write("misbehaving.c", source)
    let library = folder("example.so")
    let outcome = try Command([
      "cc", "-shared", "-fPIC", "-I\(Products.repository)/include", "-I\(Products.repository)/Plugins/Example", "-o", library, code,
    ]).run()
    guard outcome.succeeded else { throw FerryError(.internal, "cc: \(outcome.errors)") }
    return (folder, library)
  }

  /// Puts it where the world's own plugin was.
  package static func install(in world: World) throws {
    try Files.replace(world.folder("plugins/example.so"), with: Files.read(built.get().1), mode: 0o755)
  }
}
