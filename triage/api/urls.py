"""Addresses of the API, under /api/."""

from django.urls import path, re_path, register_converter
from drf_spectacular.views import SpectacularYAMLAPIView
from rest_framework.permissions import AllowAny

from triage.api import acts, audit, docs, findings, imports, sources, verifications, views


class Number:
    """`S-12` or `F-000123`, and the plain number."""

    regex = r"(?:[A-Za-z]-)?[0-9]{1,18}"
    letter = "S"

    def to_python(self, value: str) -> int:
        letter, _dash, digits = value.rpartition("-")
        if letter.upper() not in ("", self.letter):
            raise ValueError(value)
        return int(digits)

    def to_url(self, value: object) -> str:
        return f"{self.letter}-{value}"


class FindingNumber(Number):
    letter = "F"

    def to_url(self, value: object) -> str:
        return f"F-{value:06d}" if isinstance(value, int) else str(value)


class VerificationNumber(Number):
    letter = "V"


class RunNumber(Number):
    letter = "R"


class ActNumber(Number):
    letter = "A"


class BundleNumber(Number):
    letter = "B"


register_converter(Number, "api_scan")
register_converter(FindingNumber, "api_finding")
register_converter(VerificationNumber, "api_verification")
register_converter(RunNumber, "api_run")
register_converter(ActNumber, "api_act")
register_converter(BundleNumber, "api_bundle")

urlpatterns = [
    path("v1/imports", imports.Imports.as_view(), name="api-imports"),
    path("v1/imports/<api_scan:number>", imports.Import.as_view(), name="api-import"),
    path("v1/findings", findings.Findings.as_view(), name="api-findings"),
    path("v1/findings/<api_finding:number>", findings.OneFinding.as_view(), name="api-finding"),
    path(
        "v1/findings/<api_finding:number>/verifications",
        verifications.FindingVerifications.as_view(),
        name="api-finding-verifications",
    ),
    path("v1/acts", acts.Acts.as_view(), name="api-acts"),
    path("v1/acts/<api_act:number>", acts.OneAct.as_view(), name="api-act"),
    path("v1/acts/<api_act:number>/undo", acts.ActUndo.as_view(), name="api-act-undo"),
    path("v1/bundles", audit.Bundles.as_view(), name="api-bundles"),
    path("v1/bundles/<api_bundle:number>", audit.OneBundle.as_view(), name="api-bundle"),
    path("v1/bundles/<api_bundle:number>/file", audit.BundleFile.as_view(), name="api-bundle-file"),
    path("v1/ledger", audit.Ledger.as_view(), name="api-ledger"),
    path("v1/sources", sources.Sources.as_view(), name="api-sources"),
    path("v1/sources/<slug:name>/looks", sources.SourceLooks.as_view(), name="api-source-looks"),
    path("v1/verifications", verifications.Verifications.as_view(), name="api-verifications"),
    path("v1/verifications/<api_verification:number>", verifications.OneVerification.as_view(), name="api-verification"),
    path(
        "v1/verifications/<api_verification:number>/evidence",
        audit.VerificationEvidence.as_view(),
        name="api-verification-evidence",
    ),
    path("v1/verification-runs/<api_run:number>", verifications.OneVerificationRun.as_view(), name="api-verification-run"),
    path(
        "v1/verification-runs/<api_run:number>/cancellation",
        verifications.Cancellation.as_view(),
        name="api-verification-run-cancellation",
    ),
    # The product's shape is no secret, and tools read it before they have a token.
    path(
        "v1/schema", SpectacularYAMLAPIView.as_view(permission_classes=[AllowAny], authentication_classes=[]), name="api-schema"
    ),
    path("docs", docs.documentation, name="api-docs"),
    re_path("", views.Nothing.as_view(), name="api-nothing"),
]
