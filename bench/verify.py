"""Verifications by the thousand against a simulated AWS: how many a second, and how many calls each.

usage: python -m bench.verify [--findings 10000]

Five checks on each of so many buckets, in batches of one account, by one process. Floor: the same calls by plain boto3, once for each
bucket, in the same run. Exits 1 when a finding did not end as it should.
"""

import argparse
import atexit
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time

CHECKS = {  # and what a plain bucket is found to be
    "s3_bucket_public_access": "fixed", "s3_bucket_object_versioning": "failing", "s3_bucket_secure_transport_policy": "failing",
    "s3_bucket_server_access_logging_enabled": "failing", "s3_bucket_acl_prohibited": None,
}  # fmt: skip
CALLS = ("get_public_access_block", "get_bucket_acl", "get_bucket_policy", "get_bucket_versioning", "get_bucket_logging",
         "get_bucket_ownership_controls")  # fmt: skip


def measure(count: int) -> bool:
    import django

    django.setup()
    from botocore.exceptions import ClientError
    from django.utils.timezone import now

    from tests.cloud import running
    from tests.reports import imported, prowler, row
    from triage.domain import verification
    from triage.domain.access import of_machine
    from triage.models import Finding, Verification

    buckets = [f"bench-{number:06d}" for number in range(count // len(CHECKS))]
    with running() as cloud:
        os.environ.update(AWS_ENDPOINT_URL=cloud.url, AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x")
        s3 = cloud.client("s3")
        for name in buckets:
            s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        imported(prowler([row(name, check=check, region="eu-west-1") for name in buckets for check in CHECKS], at=now()))
        some = buckets[:200]
        begin = time.perf_counter()
        for name in some:
            for call in CALLS:
                with contextlib.suppress(ClientError):
                    getattr(s3, call)(Bucket=name)
        floor = (time.perf_counter() - begin) / len(some) / len(CHECKS)
        print(f"floor: {1000 * floor:.1f} ms a finding, {len(CALLS) / len(CHECKS):.1f} calls, plain boto3", flush=True)
        begin = time.perf_counter()
        run = verification.request_all(query="is:open", trigger="person", actor=of_machine(0), at=now())
        print(f"{run.total} verifications asked for in {time.perf_counter() - begin:.2f} s", flush=True)
        begin, cpu = time.perf_counter(), time.process_time()
        done = 0
        while ran := verification.drain(clock=now, limit=1000):
            done += ran
            print(f"  {done} in {time.perf_counter() - begin:.0f} s", flush=True)
        took = time.perf_counter() - begin
        print(f"{done} verified in {took:.0f} s: {1000 * took / done:.1f} ms each ({1000 * (time.process_time() - cpu) / done:.1f} ms CPU, "
              f"moto in the same process), {took / done / floor:.1f} times the floor")  # fmt: skip
        wrong = 0
        for check, outcome in CHECKS.items():
            outcomes = set(Verification.objects.filter(finding__check_ref__key=check).values_list("outcome", flat=True))
            print(f"  {check}: {', '.join(sorted(outcomes))}")
            wrong += outcome is not None and outcomes != {outcome}
        print(f"{Finding.objects.filter(status='verified').count()} are verified")
        return not wrong and done == run.total == len(buckets) * len(CHECKS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--findings", type=int, default=10_000)
    given = parser.parse_args()
    home = tempfile.mkdtemp(prefix="cspm-bench-")
    os.environ.update(
        CSPM_HOME=home, DJANGO_SETTINGS_MODULE="cspm.settings", AWS_EC2_METADATA_DISABLED="true", AWS_CONFIG_FILE="/dev/null"
    )
    atexit.register(shutil.rmtree, home, ignore_errors=True)  # after the embedded server has let go of it
    own = os.environ | {"CSPM_DB_ROLE": "owner"}
    subprocess.run([sys.executable, "manage.py", "migrate", "--skip-checks", "-v0"], check=True, env=own)
    sys.exit(0 if measure(given.findings) else 1)


if __name__ == "__main__":
    main()
