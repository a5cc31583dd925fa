"""Settings: one file, everything that differs between installations comes from the environment (docs/operations.md)."""

import sys
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF

from cspm import database, paths

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent
TESTING = "pytest" in sys.modules

CSPM_HOME = paths.home()
SECRET_KEY = env.str("CSPM_SECRET_KEY", default="") or paths.secret_key(CSPM_HOME)
# Secrets of connections are kept under these; `cspm connect rotate` seals them anew under the first one.
SECRET_KEYS = env.list("CSPM_ENCRYPTION_KEYS", default=[]) or paths.encryption_keys(CSPM_HOME)
DEBUG = env.bool("CSPM_DEBUG", default=False)
ALLOWED_HOSTS = env.list("CSPM_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]", ".localhost"])
CSRF_TRUSTED_ORIGINS = env.list("CSPM_TRUSTED_ORIGINS", default=[])
BASE_URL = env.str("CSPM_BASE_URL", default="http://127.0.0.1:8000")

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "django_htmx",
    "lucide",
    "csp",
    "django_prometheus",
    "django_q",
    "rest_framework",
    "drf_spectacular",
    "triage",
]

# A kind of plugin is found in these packages, a module a plugin; entry points of the group `cspm.<kind>` are added to them.
PLUGIN_PACKAGES = {
    "parsers": ["integrations.parsers"],
    "tickets": ["integrations.tickets"],
    "notifiers": ["integrations.notifiers"],
    "sources": ["integrations.sources"],
    "witnesses": ["integrations.witnesses"],
    "archives": ["integrations.archives"],
    "verifiers": ["integrations.verifiers"],
    "collectors": ["integrations.collectors"],
    "directories": ["integrations.directories"],
}

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.gzip.GZipMiddleware",  # pads at random, so that lengths tell nothing about secrets
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "triage.web.middleware.Preferences",
    "triage.web.middleware.ExpectedFailures",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "cspm.urls"
WSGI_APPLICATION = "cspm.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": [
                ("django.template.loaders.cached.Loader",
                 ["django.template.loaders.filesystem.Loader", "django.template.loaders.app_directories.Loader"]),
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
                "triage.web.places.places",
            ],
            "builtins": ["lucide.templatetags.lucide", "triage.templatetags.triage"],
        },
    }
]  # fmt: skip

# Tests run as the owner, who may create the test database; conftest.py then takes the application's role.
DATABASES: dict[str, dict[str, Any]] = {
    "default": database.connection_settings(env.ENVIRON, role="owner" if TESTING else env.str("CSPM_DB_ROLE", default="app")),
}
# A second connection, so that progress can be read while an import is one long transaction.
DATABASES["progress"] = {**DATABASES["default"], "TEST": {"MIRROR": "default"}}
DATABASE_ROUTERS: list[str] = ["triage.routers.DefaultOnly"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "triage.User"
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"
PASSWORD_HASHERS = (
    ["django.contrib.auth.hashers.MD5PasswordHasher"] if TESTING else ["django.contrib.auth.hashers.Argon2PasswordHasher"]
)
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en"
LANGUAGES = [("fr", "Français"), ("en", "English")]
LOCALE_PATHS = [BASE_DIR / "triage" / "locale"]
TIME_ZONE = env.str("CSPM_TIME_ZONE", default="Europe/Paris")
# Of times in reports that name no zone (Prowler's CSV): scanners mostly run in containers, and those in UTC.
REPORT_TIME_ZONE = env.str("CSPM_REPORT_TIME_ZONE", default="UTC")
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = paths.folder(CSPM_HOME, "static")
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
_HTTPS = BASE_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _HTTPS
SECURE_SSL_REDIRECT = env.bool("CSPM_SSL_REDIRECT", default=False)
SECURE_HSTS_SECONDS = env.int("CSPM_HSTS_SECONDS", default=31_536_000 if _HTTPS else 0)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("CSPM_BEHIND_PROXY", default=False) else None
SESSION_COOKIE_AGE = env.int("CSPM_SESSION_SECONDS", default=12 * 3600)
SESSION_COOKIE_HTTPONLY = True

# Reports are streamed to disk and limited by the domain, with a message; these are the limits for everything else.
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 2**20
FILE_UPLOAD_HANDLERS = ["cspm.uploads.ToDisk"]
FILE_UPLOAD_TEMP_DIR = str(paths.folder(CSPM_HOME, "uploads"))
REPORT_MAX_BYTES = env.int("CSPM_REPORT_MAX_BYTES", default=4 * 2**30)
EVIDENCE_DIR = paths.folder(CSPM_HOME, "evidence")
# After so many days bytes are deleted that nothing needs any more; 0 keeps them for ever.
KEEP_EVIDENCE_DAYS = env.int("CSPM_KEEP_EVIDENCE_DAYS", default=0)
KEEP_REPORTS_DAYS = env.int("CSPM_KEEP_REPORTS_DAYS", default=0)
# Where evidence is copied to, such as s3://bucket/prefix, and how it is locked there; '' for nowhere. Days: 0 as KEEP_EVIDENCE_DAYS.
EVIDENCE_ARCHIVE = env.str("CSPM_EVIDENCE_ARCHIVE", default="")
EVIDENCE_ARCHIVE_REGION = env.str("CSPM_EVIDENCE_ARCHIVE_REGION", default="")
EVIDENCE_ARCHIVE_ENDPOINT_URL = env.str("CSPM_EVIDENCE_ARCHIVE_ENDPOINT_URL", default="")
EVIDENCE_ARCHIVE_MODE = env.str("CSPM_EVIDENCE_ARCHIVE_MODE", default="COMPLIANCE")
EVIDENCE_ARCHIVE_DAYS = env.int("CSPM_EVIDENCE_ARCHIVE_DAYS", default=0)
# So many days after it was archived evidence leaves the disk; 0 keeps it here, too.
EVIDENCE_SPOOL_DAYS = env.int("CSPM_EVIDENCE_SPOOL_DAYS", default=0)
TICKETS_DIR = paths.folder(CSPM_HOME, "tickets")
# Where reports are fetched from, and what is run to make them: said here alone, as whoever may name any folder or command has the
# server. The commands are TOML, a table each: argv, and seconds, exits, env.
SOURCE_FOLDERS = env.list("CSPM_SOURCE_FOLDERS", default=[]) or [str(paths.folder(CSPM_HOME, "inbox"))]
SCAN_COMMANDS = paths.commands(env.str("CSPM_SCAN_COMMANDS", default=""))
# The Python of an environment in which Prowler 5 is installed, such as /opt/prowler/bin/python: its checks can be verified then.
PROWLER = env.str("CSPM_PROWLER", default="")
PROWLER_SECONDS = env.int("CSPM_PROWLER_SECONDS", default=300)
CHECKS_DIR = paths.folder(CSPM_HOME, "checks")  # checks of one's own, as YAML
# What the ledger is called, and the key that signs it (base64 of 32 bytes); by default made and kept in CSPM_HOME/ledger.
LEDGER_ORIGIN = env.str("CSPM_LEDGER_ORIGIN", default="")
LEDGER_KEY = env.str("CSPM_LEDGER_KEY", default="")
METRICS_TOKEN = env.str("CSPM_METRICS_TOKEN", default="")
# The first start imports three weeks of a simulated account, unless this says no.
DEMO = env.bool("CSPM_DEMO", default=True)

Q_CLUSTER = {
    "name": "cspm",
    "orm": "default",
    "workers": env.int("CSPM_WORKERS", default=2),
    # A task that outlives `retry` would run twice at once. The truth is a lease in our tables; the queue is a nudge.
    "timeout": 3 * 3600,
    "retry": 4 * 3600,
    "max_attempts": 1,
    "save_limit": 100,
    "ack_failures": True,
    "catch_up": False,
    "poll": 0.5,
    "bulk": 1,
    "queue_limit": 4,
    "sync": TESTING,
    "label": "CSPM",
}
if _redis := env.str("CSPM_REDIS_URL", default=""):
    Q_CLUSTER = {**Q_CLUSTER, "redis": _redis}
    del Q_CLUSTER["orm"]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["triage.api.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["triage.api.permissions.Denied"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "triage.api.problems.handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "CSPM Triage",
    "DESCRIPTION": "Reports in, findings out. Failures are problem documents (RFC 9457); times are RFC 3339 in UTC.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    # Their labels are in the language of whoever asks, and the document is in one.
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "Status": "triage.models.Status",
        "Presence": "triage.models.Presence",
        "Environment": "triage.models.Environment",
        "ImportState": "triage.models.ScanState",
        "VerificationState": "triage.models.Verification.State",
        "ActVerb": "triage.models.Act.Verb",
        "ActState": "triage.models.Act.State",
        "SourceState": "triage.models.Connection.State",
        "SourceReportState": "triage.models.SourceReport.State",
        "VerificationTrigger": "triage.models.Verification.Trigger",
    },
}

EMAIL_CONFIG = env.email_url("CSPM_EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
DEFAULT_FROM_EMAIL = env.str("CSPM_EMAIL_FROM", default="cspm@localhost")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("CSPM_LOG_LEVEL", default="WARNING")},
    # Slack's client logs what it was answered, and Jira's how it would retry: our own words say what failed.
    "loggers": {
        "triage": {"level": env.str("CSPM_LOG_LEVEL", default="INFO")},
        "slack_sdk": {"level": "CRITICAL"},
        "jira": {"level": "CRITICAL"},
    },
}
SILENCED_SYSTEM_CHECKS: list[str] = []
