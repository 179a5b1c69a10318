"""A stand-in for sync_diff_inspector: its settings, its words and its exit codes, over tidb-contract's clusters. It reads both by their fronts."""
import os, re, sys, tomllib

import pymysql

KNOWN = {"": {"check-thread-count", "export-fix-sql", "check-struct-only", "data-sources", "task"},
         "source": {"host", "port", "user", "password", "snapshot", "security"},
         "task": {"output-dir", "source-instances", "target-instance", "target-check-tables"}}


def end(code, text):
    print(text)
    sys.exit(code)


def check(settings):
    for where, value in [("", settings), ("task", settings["task"])] + [("source", s) for s in settings["data-sources"].values()]:
        if unknown := set(value) - KNOWN[where]:
            end(2, f"Error: unknown keys in config file: {sorted(unknown)}")


def connect(source):
    secure = source.get("security")
    options = {"ssl_disabled": True} if not secure else {"ssl_ca": secure.get("ca-path"), "ssl_cert": secure.get("cert-path"), "ssl_key": secure.get("key-path")}
    connection = pymysql.connect(host=source["host"], port=source["port"], user=source["user"], password=source["password"], charset="utf8mb4", autocommit=True, **options)
    query(connection, "SET SESSION time_zone = '+00:00'")
    if source.get("snapshot"):
        query(connection, f"SET SESSION tidb_snapshot = '{source['snapshot']}'")
    return connection


def query(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def read(connection, table):
    columns = [(r[0], r[1]) for r in query(connection, f"SHOW COLUMNS FROM {table}")]
    return columns, sorted(map(repr, query(connection, f"SELECT * FROM {table}")))


def main():
    if sys.argv[1:2] in (["-V"], ["--version"]):
        end(0, "App Name: sync_diff_inspector v2.0\nRelease Version: v7.5.1")
    if len(sys.argv) != 3 or sys.argv[1] != "--config":
        end(2, "Error: argument --config is required")
    with open(sys.argv[2], "rb") as file:
        settings = tomllib.load(file)
    check(settings)
    task = settings["task"]
    os.makedirs(task["output-dir"])
    # Old versions write their settings into their log.
    with open(f"{task['output-dir']}/sync_diff.log", "w") as log:
        log.write(repr(settings))
    try:
        source, target = (connect(settings["data-sources"][name]) for name in (task["source-instances"][0], task["target-instance"]))
    except pymysql.MySQLError as error:
        end(1, f"An error occurred while initializing diff: {error}, please check log info in {task['output-dir']}/sync_diff.log for full details")
    different, tables = [], task["target-check-tables"]
    for table in tables:
        try:
            (columns, rows), (other, others) = read(source, table), read(target, table)
        except pymysql.MySQLError as error:
            end(1, f"An error occurred while comparing table data: {error}")
        name = re.sub(r"\s", " ", table)
        if columns != other:
            different.append(f"The structure of {name} is not equal, and data-check is skipped")
        elif rows != others:
            different.append(f"The data of {name} is not equal")
    if different:
        end(1, "\n".join(different) + f"\n\nThe rest of tables are all equal.\n\nA total of {len(tables)} tables have been compared, "
            f"{len(tables) - len(different)} tables finished, {len(different)} tables failed, 0 tables skipped.")
    end(0, f"A total of {len(tables)} table have been compared and all are equal.\nYou can view the comparison details through '{task['output-dir']}/sync_diff.log'")


main()
