"""What is kept. One file for one noun; reads chain on querysets, verbs live in `triage.domain`."""

from triage.models.account import Account, Criticality, Environment
from triage.models.act import Act, ActItem
from triage.models.application import Application, DataClass, Vulnerability
from triage.models.asset import Asset, AssetFacts, AssetSearch, AssetTags, Exposure, TagSet
from triage.models.bundle import Bundle
from triage.models.calendar import Calendar, CalendarDay, CalendarVersion, OpenInterval
from triage.models.check import Check, CheckControl, Control
from triage.models.comment import Comment, Notification
from triage.models.connection import Alarm, Connection, Disclosure
from triage.models.event import Event
from triage.models.exception import ExceptionItem, ExceptionKind, ExceptionState, RiskException
from triage.models.finding import (
    TO_FIX,
    CheckCounter,
    CodePlace,
    Counter,
    DailyCount,
    Finding,
    FindingAlias,
    Grade,
    Group,
    Presence,
    Status,
)
from triage.models.ledger import Checkpoint, Leaf, LedgerCheck, LedgerKey, Node, Publication
from triage.models.notification import Preference, Press, Subject, Thread, Told
from triage.models.outbox import InboxDelivery, OutboxMessage
from triage.models.ownership import OwnerRule, OwnerTrail
from triage.models.scan import CheckSet, CodeStream, Scan, ScanProgress, ScanScope, ScanState, ScanWarning
from triage.models.severity import Severity
from triage.models.sla import ClockEntry, ClockKind, Containment, SlaNotice, SlaPolicy, SlaTarget, SlaUnit, SlaVersion
from triage.models.source import SourceLook, SourceReport
from triage.models.team import Member, Team
from triage.models.ticket import Ticket, TicketItem
from triage.models.user import ApiToken, IdempotencyKey, Role, RoleGrant, SignInLink, User
from triage.models.verification import (
    ArchiveStanding,
    Evidence,
    Hold,
    HoldItem,
    Verification,
    VerificationPolicy,
    VerificationRun,
)
from triage.models.view import SavedView

__all__ = [
    "TO_FIX",
    "Account",
    "Act",
    "ActItem",
    "Alarm",
    "ApiToken",
    "Application",
    "ArchiveStanding",
    "Asset",
    "AssetFacts",
    "AssetSearch",
    "AssetTags",
    "Bundle",
    "Calendar",
    "CalendarDay",
    "CalendarVersion",
    "Check",
    "CheckControl",
    "CheckCounter",
    "CheckSet",
    "Checkpoint",
    "ClockEntry",
    "ClockKind",
    "CodePlace",
    "CodeStream",
    "Comment",
    "Connection",
    "Containment",
    "Control",
    "Counter",
    "Criticality",
    "DailyCount",
    "DataClass",
    "Disclosure",
    "Environment",
    "Event",
    "Evidence",
    "ExceptionItem",
    "ExceptionKind",
    "ExceptionState",
    "Exposure",
    "Finding",
    "FindingAlias",
    "Grade",
    "Group",
    "Hold",
    "HoldItem",
    "IdempotencyKey",
    "InboxDelivery",
    "Leaf",
    "LedgerCheck",
    "LedgerKey",
    "Member",
    "Node",
    "Notification",
    "OpenInterval",
    "OutboxMessage",
    "OwnerRule",
    "OwnerTrail",
    "Preference",
    "Presence",
    "Press",
    "Publication",
    "RiskException",
    "Role",
    "RoleGrant",
    "SavedView",
    "Scan",
    "ScanProgress",
    "ScanScope",
    "ScanState",
    "ScanWarning",
    "Severity",
    "SignInLink",
    "SlaNotice",
    "SlaPolicy",
    "SlaTarget",
    "SlaUnit",
    "SlaVersion",
    "SourceLook",
    "SourceReport",
    "Status",
    "Subject",
    "TagSet",
    "Team",
    "Thread",
    "Ticket",
    "TicketItem",
    "Told",
    "User",
    "Verification",
    "VerificationPolicy",
    "VerificationRun",
    "Vulnerability",
]
