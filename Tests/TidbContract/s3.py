"""`s3.py FOLDER` starts an S3 server with a bucket `backups`, prints its port, and ends with its standard input."""
import socket, subprocess, sys, time

from cluster import die_with_parent


def start(folder):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=open(f"{folder}/s3.log", "w"),
                     stderr=subprocess.STDOUT, preexec_fn=die_with_parent, stdin=subprocess.DEVNULL)
    import boto3
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any")
    deadline = time.time() + 60
    while True:
        try:
            client.create_bucket(Bucket="backups")
            return port
        except Exception:
            if time.time() > deadline:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    print(start(sys.argv[1]), flush=True)
    sys.stdin.read()
