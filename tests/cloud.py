"""A simulated AWS account over real HTTP, with the bucket that the tests break and repair."""

import json
import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

ACCOUNT = "123456789012"
REGION = "eu-west-1"
BLOCK = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}


class Cloud:
    """`url`: its endpoint. Clients act as an administrator, or with the keys that are given."""

    def __init__(self, url: str) -> None:
        self.url = url

    def client(self, service: str, keys: tuple[str, str] = ("AKIAEXAMPLE", "example"), region: str = REGION):
        client = boto3.client(
            service, region_name=region, endpoint_url=self.url, aws_access_key_id=keys[0], aws_secret_access_key=keys[1],
            config=Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip
        client.meta.events.register("before-sign.s3-control.*", lambda request, **_: _plain_host(request))
        return client

    def reset(self) -> None:
        self._post("/moto-api/reset", b"")

    @contextmanager
    def enforcing(self, policy: dict) -> Iterator[tuple[str, str]]:
        """Keys of a user who may do what the policy says, while moto enforces it."""
        iam = self.client("iam")
        iam.create_user(UserName="verifier")
        iam.put_user_policy(UserName="verifier", PolicyName="may", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName="verifier")["AccessKey"]
        self._post("/moto-api/reset-auth", b"0")
        try:
            yield key["AccessKeyId"], key["SecretAccessKey"]
        finally:
            self._post("/moto-api/reset-auth", b"inf")

    @contextmanager
    def allowing_nothing(self, monkeypatch) -> Iterator[None]:
        """Where the product looks, the keys of somebody who may only learn who it is."""
        nothing = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}]}
        with self.enforcing(nothing) as (key, secret):
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
            yield

    def bucket(self, name: str) -> None:
        self.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})

    def open(self, name: str) -> None:
        """Public by ACL and without a block: what a careless hand does."""
        s3 = self.client("s3")
        s3.delete_public_access_block(Bucket=name)
        s3.put_bucket_acl(Bucket=name, ACL="public-read")

    def close(self, name: str) -> None:
        s3 = self.client("s3")
        s3.put_bucket_acl(Bucket=name, ACL="private")
        s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=BLOCK)

    def _post(self, path: str, body: bytes) -> None:
        request = urllib.request.Request(self.url + path, data=body, method="POST", headers={"Content-Type": "text/plain"})
        urllib.request.urlopen(request).close()


@contextmanager
def running() -> Iterator[Cloud]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield Cloud(f"http://{host}:{port}")
    finally:
        server.stop()


@pytest.fixture(scope="session")
def cloud_server():
    with running() as cloud:
        yield cloud


@pytest.fixture
def cloud(cloud_server, monkeypatch):
    """An empty account, and credentials for it where the product looks for them."""
    cloud_server.reset()
    for name, value in {
        "AWS_ENDPOINT_URL": cloud_server.url,
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return cloud_server


def _plain_host(request) -> None:
    request.url = request.url.replace(f"//{ACCOUNT}.", "//")
