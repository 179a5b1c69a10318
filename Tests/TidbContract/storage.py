"""Where backups lie: local://, or s3:// with the endpoint in its query, as br writes them."""
import os
from urllib.parse import parse_qs, urlsplit


def open_storage(uri):
    parts = urlsplit(uri)
    if parts.scheme in ("local", "file", ""):
        return Local(parts.path)
    if parts.scheme != "s3":
        raise ValueError(f"storage {parts.scheme} not support yet")
    return S3(parts.netloc, parts.path.strip("/"), {k: v[0] for k, v in parse_qs(parts.query).items()})


class Local:
    def __init__(self, folder):
        self.folder = folder

    def read(self, name):
        try:
            with open(f"{self.folder}/{name}", "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def write(self, name, data):
        os.makedirs(os.path.dirname(f"{self.folder}/{name}"), exist_ok=True)
        with open(f"{self.folder}/{name}.tmp", "wb") as file:
            file.write(data)
        os.replace(f"{self.folder}/{name}.tmp", f"{self.folder}/{name}")

    def remove(self, name):
        try:
            os.unlink(f"{self.folder}/{name}")
        except FileNotFoundError:
            pass


class S3:
    def __init__(self, bucket, prefix, options):
        import boto3
        from botocore.config import Config
        style = "path" if options.get("force-path-style", "true") == "true" else "virtual"
        self.client = boto3.client("s3", endpoint_url=options.get("endpoint"), region_name=options.get("region", "us-east-1"),
                                   aws_access_key_id=options.get("access-key"), aws_secret_access_key=options.get("secret-access-key"),
                                   config=Config(s3={"addressing_style": style}))
        self.bucket, self.prefix = bucket, prefix

    def read(self, name):
        try:
            return self.client.get_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}")["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None

    def write(self, name, data):
        self.client.put_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}", Body=data)

    def remove(self, name):
        self.client.delete_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}")
