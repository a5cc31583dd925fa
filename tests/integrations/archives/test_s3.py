import hashlib
import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from integrations.archives import s3
from tests.cloud import REGION, cloud, cloud_server  # noqa: F401 - fixtures
from triage.ports import Absent, ArchiveError, Locked, Unfit

DATA = b'{"PublicAccessBlock": false}' * 1000
SHA = hashlib.sha256(DATA).digest()
NOTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}]}


@pytest.fixture(autouse=True)
def bucket(cloud):  # noqa: F811
    s3._client.cache_clear()
    made = {"LocationConstraint": REGION}
    cloud.client("s3").create_bucket(Bucket="proofs", ObjectLockEnabledForBucket=True, CreateBucketConfiguration=made)
    yield
    s3._client.cache_clear()


@pytest.fixture
def options(cloud):  # noqa: F811
    return {"address": "s3://proofs/acme/", "region": REGION, "endpoint_url": cloud.url, "mode": "COMPLIANCE"}


def in_days(days):
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)


def store(options, data=DATA, days=30):
    return s3.store("ab/cd", io.BytesIO(data), hashlib.sha256(data).digest(), in_days(days), options)


def head(cloud, version):  # noqa: F811
    return cloud.client("s3").head_object(Bucket="proofs", Key="acme/ab/cd", VersionId=version, ChecksumMode="ENABLED")


def test_what_is_stored_is_locked_and_read_back(cloud, options):  # noqa: F811
    version = store(options)
    found = head(cloud, version)
    assert (found["ObjectLockMode"], found["ObjectLockRetainUntilDate"] > in_days(29)) == ("COMPLIANCE", True)
    assert found["ContentLength"] == len(DATA)
    into = io.BytesIO()
    s3.fetch("ab/cd", version, into, options)
    assert into.getvalue() == DATA
    with pytest.raises(Locked, match="is locked in the archive until"):
        s3.delete("ab/cd", version, options)
    assert head(cloud, version)["VersionId"] == version


def test_the_same_bytes_are_one_version_and_others_are_refused(cloud, options):  # noqa: F811
    version = store(options)
    assert store(options) == version
    with pytest.raises(Unfit, match="The archive has other bytes under ab/cd"):
        store(options, b"other bytes")
    versions = cloud.client("s3").list_object_versions(Bucket="proofs", Prefix="acme/")["Versions"]
    assert len(versions) == 1


def test_bytes_that_lie_there_unlocked_or_without_a_checksum_are_locked(cloud, options):  # noqa: F811
    lies = cloud.client("s3").put_object(Bucket="proofs", Key="acme/ab/cd", Body=DATA)["VersionId"]
    assert store(options) == lies
    assert head(cloud, lies)["ObjectLockMode"] == "COMPLIANCE"


def test_a_legal_hold_outlives_the_lock(cloud, options):  # noqa: F811
    version = cloud.client("s3").put_object(Bucket="proofs", Key="acme/ab/cd", Body=DATA)["VersionId"]
    s3.hold("ab/cd", version, True, options)
    with pytest.raises(Locked, match="legal hold"):
        s3.delete("ab/cd", version, options)
    s3.hold("ab/cd", version, False, options)
    s3.delete("ab/cd", version, options)
    s3.delete("ab/cd", version, options)
    with pytest.raises(Absent):
        s3.fetch("ab/cd", version, io.BytesIO(), options)


def test_a_bucket_that_does_not_lock_is_refused_with_its_reason(cloud, options):  # noqa: F811
    cloud.bucket("plain")
    lock, versions = s3.probe(options | {"address": "s3://plain"})
    assert not lock.passed
    assert str(lock.said) == "The bucket plain has no Object Lock. Make one that has it: docs/audit.md says how."
    assert str(versions.said) == "The bucket plain does not keep versions."
    assert [probe.passed for probe in s3.probe(options)] == [True, True]
    assert "NoSuchBucket" in str(next(s3.probe(options | {"address": "s3://nowhere"})).said)


def test_a_permission_that_is_missing_is_named(cloud, options, monkeypatch):  # noqa: F811
    version = store(options)
    with cloud.enforcing(NOTHING) as (key, secret):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        s3._client.cache_clear()
        assert "s3:GetBucketObjectLockConfiguration is needed" in str(next(s3.probe(options)).said)
        for needed, ask in (
            ("s3:PutObjectRetention", lambda: store(options)),
            ("s3:GetObjectVersion", lambda: s3.fetch("ab/cd", version, io.BytesIO(), options)),
            ("s3:PutObjectLegalHold", lambda: s3.hold("ab/cd", version, True, options)),
        ):
            with pytest.raises(ArchiveError, match=needed):
                ask()


def test_the_rights_in_the_guide_are_enough(cloud, options, monkeypatch):  # noqa: F811
    guide = (Path(__file__).parents[3] / "docs" / "audit.md").read_text()
    said = re.search(r'\{"Version".*?\]\}$', guide, re.DOTALL | re.MULTILINE)[0]
    policy = json.loads(said.replace("acme-evidence/triage", "proofs/acme").replace("acme-evidence", "proofs"))
    # What moto 5.2 takes the question for whether a bucket locks.
    policy["Statement"].append({"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"})
    with cloud.enforcing(policy) as (key, secret):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        s3._client.cache_clear()
        assert [probe.passed for probe in s3.probe(options)] == [True, True]
        version = store(options)
        assert store(options) == version
        s3.fetch("ab/cd", version, io.BytesIO(), options)
        for on in (True, False):
            s3.hold("ab/cd", version, on, options)
        with pytest.raises(Locked):
            s3.delete("ab/cd", version, options)
        with pytest.raises(ArchiveError, match="is needed"):
            s3.store("ab/cd", io.BytesIO(DATA), SHA, in_days(30), options | {"address": "s3://proofs/elsewhere"})


def test_nobody_there_is_said_soon(options):
    with pytest.raises(ArchiveError, match="S3 was not reached"):
        s3.fetch("ab/cd", "1", io.BytesIO(), options | {"endpoint_url": "http://127.0.0.1:9"})
