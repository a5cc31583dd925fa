from threading import Event

import pytest

from integrations.sources import s3
from tests.cloud import cloud, cloud_server  # noqa: F401 - fixtures
from triage.ports import DeliveryError, Offered, Refused


@pytest.fixture
def options(cloud):  # noqa: F811
    cloud.client("s3").create_bucket(Bucket="reports", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return {
        "bucket": "reports", "prefix": "prowler/", "pattern": "*.csv", "region": "eu-west-1", "endpoint_url": cloud.url,
        "access_key": "AKIAEXAMPLE", "secret_key": "example",
    }  # fmt: skip


def put(cloud, **objects):  # noqa: F811
    for name, body in objects.items():
        cloud.client("s3").put_object(Bucket="reports", Key=name, Body=body)


def test_what_lies_there_is_offered_and_fetched(cloud, options, tmp_path):  # noqa: F811
    put(cloud, **{"prowler/a.csv": b"one", "prowler/b.json": b"no", "elsewhere.csv": b"no", "prowler/empty.csv": b""})
    [offered] = s3.offered("now", options)
    assert (offered.name, offered.size) == ("prowler/a.csv", 3)
    s3.fetch(offered, tmp_path / "report", options, Event())
    assert (tmp_path / "report").read_bytes() == b"one"
    put(cloud, **{"prowler/a.csv": b"two"})
    [again] = s3.offered("now", options)
    assert again.version != offered.version


def test_more_than_a_page(cloud, options, monkeypatch):  # noqa: F811
    monkeypatch.setattr(s3, "PAGE", 2)
    put(cloud, **{f"prowler/{number}.csv": b"x" for number in range(5)})
    assert sum(1 for _each in s3.offered("now", options)) == 5


def test_a_permission_that_is_missing_is_named(cloud, options):  # noqa: F811
    put(cloud, **{"prowler/a.csv": b"one"})
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}]}
    with cloud.enforcing(policy) as (access_key, secret_key):
        given = options | {"access_key": access_key, "secret_key": secret_key}
        assert [probe.passed for probe in s3.probe(given)] == [True]
        [offered] = s3.offered("now", given)
        with pytest.raises(Refused, match="s3:GetObject"):
            s3.fetch(offered, None, given, Event())


def test_an_object_that_went_is_given_up(options, tmp_path):
    with pytest.raises(DeliveryError, match="NoSuchKey") as error:
        s3.fetch(Offered("prowler/gone.csv", "1"), tmp_path / "report", options, Event())
    assert error.value.permanent
