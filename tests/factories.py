"""Rows for tests, made through the audit door."""

import hashlib
import time
from datetime import UTC, datetime, timedelta

from triage.domain import ledger
from triage.domain.access import Actor
from triage.domain.audit import recording
from triage.domain.ingest import identity
from triage.models import Account, Asset, Check, Finding, OwnerTrail, Role, RoleGrant, Severity, TagSet, Team, User

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
ACCOUNT = "123456789012"
TRIAGER = Actor(name="user:1", door="page", roles=frozenset({Role.TRIAGER}))
VIEWER = Actor(name="user:2", door="page", roles=frozenset({Role.VIEWER}))


class Clock:
    """Time that moves a second at each look, and as far as a test says."""

    def __init__(self, at: datetime = AT) -> None:
        self.at = at

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at

    def pass_(self, **span: float) -> datetime:
        self.at += timedelta(**span)
        return self.at


def digest(*parts: object) -> bytes:
    return hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=16).digest()


def nothing(model: type, **empty: object):
    """The row that says nothing: it comes with the migrations, and goes when a test's tables are emptied."""
    return model.objects.get_or_create(digest=bytes(16), defaults=empty)[0]


def team(slug: str = "web") -> Team:
    return Team.objects.get_or_create(slug=slug, defaults={"name": f"Team {slug.title()}"})[0]


def untagged() -> TagSet:
    return TagSet.objects.get_or_create(digest=bytes(16), defaults={"tags": [], "folded": {}})[0]


def unasked() -> OwnerTrail:
    """The explanation of a chain that was never asked."""
    return OwnerTrail.objects.get_or_create(digest=bytes(16), defaults={"steps": []})[0]


def finding(
    *,
    check: str = "s3_bucket_public_access",
    bucket: str = "acme-public-assets",
    owner: Team | None = None,
    at: datetime = AT,
    **columns,
) -> Finding:
    """An open finding of Prowler about a bucket, three days before it is due."""
    account, _made = Account.objects.get_or_create(provider="aws", uid=ACCOUNT, defaults={"name": "Acme", "created_at": at})
    about, _made = Check.objects.get_or_create(
        scanner="prowler",
        key=check,
        defaults={
            "title": "S3 bucket is not publicly accessible", "service": "s3", "severity": Severity.CRITICAL, "digest": digest(check),
            "risk": "Everybody can read it.", "remediation": "Block **public access**.", "updated_at": at,
            "remediation_cli": f"aws s3api put-public-access-block --bucket {bucket}", "remediation_url": "https://hub.example/s3",
            "remediation_terraform": '```hcl\nresource "aws_s3_bucket_public_access_block" "x" {}\n```',
        },
    )  # fmt: skip
    uid = f"arn:aws:s3:::{bucket}"
    asset, _made = Asset.objects.get_or_create(
        key=identity.asset_key(identity.prefix("aws", ACCOUNT), uid),
        defaults={
            "account": account, "uid": uid, "name": bucket, "type": "AwsS3Bucket", "service": "s3", "region": "eu-west-1",
            "tag_set": untagged(), "tags_since": at, "trail": unasked(), "first_seen": at,
        },
    )  # fmt: skip
    values = {
        "region": "eu-west-1", "severity": Severity.CRITICAL, "scanner_severity": Severity.CRITICAL, "first_seen": at, "last_seen": at,
        "clock_from": at, "due_at": at + timedelta(days=3), "message": f"S3 Bucket {bucket} has public access due to bucket ACL.",
        "changed_at": at,
    }  # fmt: skip
    with recording(actor="worker", at=at, door="task"):
        row = Finding.objects.create(
            identity=identity.finding_key(f"prowler\x1f{check}", bytes(asset.key), ""), check_ref=about, asset=asset, account=account, team=owner, trail=asset.trail,
            **{**values, **columns},
        )  # fmt: skip
    row.refresh_from_db()
    return row


def buckets(*names: str, check: str = "named", account: str = ACCOUNT, owner: Team | None = None, **columns) -> list[Finding]:
    """Open findings about many buckets, in a few statements. The first makes account and check, unless they are there."""
    first = finding(check=check, bucket=names[0], owner=owner, **columns)
    home, _made = Account.objects.get_or_create(provider="aws", uid=account, defaults={"name": account, "created_at": AT})
    assets = Asset.objects.bulk_create(
        Asset(
            key=digest("aws", account, name), account=home, uid=f"arn:aws:s3:::{name}", name=name, type="AwsS3Bucket", service="s3",
            region="eu-west-1", tag_set=untagged(), tags_since=AT, trail=unasked(), first_seen=AT,
        )
        for name in names[1:]
    )  # fmt: skip
    same = {each.attname: getattr(first, each.attname) for each in Finding._meta.concrete_fields if not each.generated}
    same = {name: value for name, value in same.items() if name not in ("id", "identity", "asset_id", "account_id")}
    with recording(actor="worker", at=AT, door="task"):
        Finding.objects.filter(pk=first.pk).update(account=home)
        Finding.objects.bulk_create(
            Finding(**same, identity=digest(first.check_ref_id, asset.uid, account), asset=asset, account=home)
            for asset in assets
        )
    return list(Finding.objects.filter(check_ref=first.check_ref, account=home).order_by("pk"))


def change(row: Finding, at: datetime = AT, **columns) -> Finding:
    with recording(actor="worker", at=at, door="task"):
        Finding.objects.filter(pk=row.pk).update(**columns)
    row.refresh_from_db()
    return row


def person(email: str = "ana@example.com", *roles: str, of: Team | None = None, password: str | None = None, **columns) -> User:
    """Somebody with these roles; a contributor's is in the team `of`."""
    user = User.objects.create_user(email, password, **columns)
    for role in roles:
        RoleGrant.objects.create(user=user, role=role, team=of if role == Role.CONTRIBUTOR else None)
    return user


def sealed(at: datetime) -> None:
    """Until nothing waits: transactions of other tests, in other databases of the server, hold everything up."""
    for _attempt in range(200):
        ledger.seal(at=at)
        if not ledger.waiting():
            return
        time.sleep(0.05)
    raise AssertionError("something holds a transaction open")
