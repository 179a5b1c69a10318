"""A stand-in for the br program: its arguments, log lines, exit codes and checkpoints, over tidb-contract's clusters."""
import json, signal, sys, threading, time, urllib.request

import pymysql

from engine import Access, BackupError, backup, read_meta, restore

VERSION = "v7.5.1"


class Pd:
    def __init__(self, address):
        self.address = address
        hello = self.ask({"do": "hello"})
        self.name, self.version, self.socket, self.defects = hello["name"], hello["version"], hello["socket"], hello["defects"]

    def ask(self, body):
        request = urllib.request.Request(f"http://{self.address}/", json.dumps(body).encode())
        answer = json.load(urllib.request.urlopen(request, timeout=90))
        if "error" in answer:
            raise BackupError("BR:PD:ErrPDUpdateFailed", answer["error"])
        return answer["answer"]

    def tso(self):
        return self.ask({"do": "tso"})

    def hold(self, ts):
        self.ask({"do": "hold", "ts": ts})

    def drop_hold(self):
        self.ask({"do": "drop"})

    def check_snapshot(self, ts):
        self.ask({"do": "check", "ts": ts})

    def defect(self, name):
        return self.defects.get(name)

    def connect(self):
        return pymysql.connect(unix_socket=self.socket, user="root", autocommit=True, charset="utf8mb4", ssl_disabled=True,
                               init_command="SET time_zone = '+00:00', sql_mode = ''")


def parse(arguments):
    """Options as br takes them: --name value, --name=value, -s value, -f value (again and again)."""
    words, options, filters = [], {}, []
    index = 0
    while index < len(arguments):
        word = arguments[index]
        if word.startswith("-"):
            name, equals, value = word.lstrip("-").partition("=")
            name = {"s": "storage", "u": "pd", "f": "filter"}.get(name, name)
            if not equals:
                index += 1
                if index >= len(arguments):
                    usage(f"flag needs an argument: {word}")
                value = arguments[index]
            if name not in KNOWN:
                usage(f"unknown flag: --{name}")
            if name == "filter":
                filters.append(value)
            else:
                options[name] = value
        else:
            words.append(word)
        index += 1
    return words, options, filters


KNOWN = ("pd", "storage", "filter", "db", "table", "checksum", "gcttl", "log-file", "backupts", "ratelimit", "concurrency", "with-sys-table",
         "s3.endpoint", "send-credentials-to-tikv", "field", "ca", "cert", "key", "crypter.method", "crypter.key-file")


def usage(message):
    print(f"Error: {message}", file=sys.stderr)
    sys.exit(1)


def main():
    words, options, filters = parse(sys.argv[1:])
    # As the aws library does it, keys come through the environment.
    import os
    if options.get("storage", "").startswith("s3:") and not os.environ.get("AWS_ACCESS_KEY_ID"):
        usage("NoCredentialProviders: no valid providers in chain. Deprecated.")
    if words[:2] == ["debug", "decode"]:
        meta = read_meta(options["storage"])
        if options.get("field") == "EndVersion" and os.environ.get("CONTRACT_DECODE") != "not-found":
            print(meta["end_version"])
        else:
            print("field 'EndVersion' not found")
        return
    command, scope = words
    pd = Pd(options["pd"])
    log = open(options["log-file"], "a", buffering=1) if "log-file" in options else sys.stdout
    def line(text):
        stamp = time.strftime("%Y/%m/%d %H:%M:%S.000 +00:00")
        print(f"[{stamp}] [INFO] {text}", file=log, flush=True)
    what = {"full": {"kind": "full"}, "db": {"kind": "db", "names": [options.get("db")]},
            "table": {"kind": "table", "names": [f"{options.get('db')}.{options.get('table')}"]}}[scope]
    if filters:
        what = {"kind": "filter", "names": filters}
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    title = {"backup": {"full": "Full", "db": "Database", "table": "Table"}[scope] + " Backup",
             "restore": {"full": "Full", "db": "Database", "table": "Table"}[scope] + " Restore"}[command]
    line(f"[\"Welcome to Backup & Restore (BR)\"] [release-version={VERSION}] [stand-in=tidb-contract]")
    chosen = {"with-sys-table": options.get("with-sys-table") == "true", "snapshot": int(options.get("backupts", 0)) or None,
              "checksum": options.get("checksum")}
    if "crypter.method" in options:
        chosen["crypter"] = [options["crypter.method"], open(options["crypter.key-file"]).read().strip()]
    def report(share):
        line(f"[progress] [step=\"{title}\"] [progress={share * 100:.2f}%] [count=\"{share}\"]")
    access = Access(pd.connect, pd)
    try:
        pd.ask({"do": "event", "what": f"br {command} {scope}", "when": "before"})
        done = (backup if command == "backup" else restore)(access, options["storage"], what, chosen, report, stop.is_set)
        summary = f"[\"{title} success summary\"] [total-ranges=1] [ranges-succeed=1] [ranges-failed=0] [BackupTS={done['ts']}] [Size={done['size']}]"
        line(summary)
        if log is not sys.stdout:
            print(f"{title} <100.00%\n[{time.strftime('%Y/%m/%d %H:%M:%S')}] [INFO] [collector.go:77] {summary}", flush=True)
        pd.ask({"do": "event", "what": f"br {command} {scope}", "when": "after"})
    except (BackupError, pymysql.MySQLError, ValueError) as error:
        text = str(error)
        line(f"[\"{title} failed summary\"] [error=\"{text}\"]")
        print(f"Error: {text}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
