"""A real sshd on the loopback, with keys and a configuration of its own."""
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROGRAM = "/usr/sbin/sshd"


def available():
    return bool(shutil.which("ssh")) and Path(PROGRAM).exists()


class SSHD:
    """`path` is what those who log in have as PATH. `config` is for `ssh -F`, `port` for an address. `prefix` goes before its command."""

    def __init__(self, folder, path=None, prefix=()):
        self.folder, self.prefix = folder, prefix
        folder.mkdir(mode=0o700)
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        environment = f"SetEnv PATH={path}\n" if path else ""
        (folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nStrictModes no\nUsePAM no\n"
            f"PidFile none\nSubsystem sftp internal-sftp\nPermitRootLogin yes\nAllowUsers {getpass.getuser()}\n{environment}")
        self.config = folder / "ssh_config"
        self.config.write_text(
            f"Host *\n  Port {self.port}\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n  BatchMode yes\n  LogLevel ERROR\n"
            "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  GlobalKnownHostsFile /dev/null\n")

    def __enter__(self):
        self.process = subprocess.Popen([*self.prefix, PROGRAM, "-D", "-f", self.folder / "sshd_config"], stderr=subprocess.DEVNULL)
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError:
                time.sleep(0.01)
        raise SystemExit("bench: sshd does not start")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
