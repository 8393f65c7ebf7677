"""All settings on one page. Values come from the environment; `.env.example` and docs/settings.md explain each."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import environ
from django.utils.translation import gettext_lazy as _

from config.unfold import UNFOLD  # noqa: F401 - a setting

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env", overwrite=False)

# --- What kind of installation this is -------------------------------------------------------------------------------
ENVIRONMENT = env.str("ZHIYIN_ENV", "production")  # production | development | test
DEBUG = env.bool("ZHIYIN_DEBUG", False)
SECRET_KEY = env.str("ZHIYIN_SECRET_KEY")
MASTER_KEYS = env.str("ZHIYIN_MASTER_KEYS")  # "k2:<base64 of 32 bytes>,k1:…"; the first one seals, all open
PUBLIC_URL = env.str("ZHIYIN_PUBLIC_URL", "http://127.0.0.1:8001")  # where WeChat reaches the gateway
CONSOLE_URL = env.str("ZHIYIN_CONSOLE_URL", "http://127.0.0.1:8000")
ALLOWED_HOSTS = env.list("ZHIYIN_ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
IS_PRODUCTION = ENVIRONMENT == "production"

# --- WeChat ----------------------------------------------------------------------------------------------------------
WECHAT_BASE_URL = env.str("ZHIYIN_WECHAT_BASE_URL", "https://api.weixin.qq.com")
WECHAT_MP_URL = env.str("ZHIYIN_WECHAT_MP_URL", "https://mp.weixin.qq.com")
CLOCK_URL = env.str("ZHIYIN_CLOCK_URL", "")  # the simulator's clock; empty = real time
SIMULATOR_URL = env.str("ZHIYIN_SIMULATOR_URL", "")
STATE_DIR = env.str("ZHIYIN_STATE_DIR", str(BASE_DIR / "var"))  # where the demo writes what is true of it
CALLBACK_FRESHNESS_SECONDS = env.int("ZHIYIN_CALLBACK_FRESHNESS_SECONDS", 300)
KEEP_PUSHES_DAYS = env.int("ZHIYIN_KEEP_PUSHES_DAYS", 7)  # handled ones; what needs people is kept
CLIENT_MSG_ID_WINDOW_SECONDS = env.int("ZHIYIN_CLIENT_MSG_ID_WINDOW_SECONDS", 540)  # how long WeChat de-duplicates
PRINT_FONT = env.str("ZHIYIN_PRINT_FONT", "")  # a TrueType file with Chinese, embedded into printed code sheets
SEND_CONCURRENCY = env.int("ZHIYIN_SEND_CONCURRENCY", 64)
SEND_CLAIM_SIZE = env.int("ZHIYIN_SEND_CLAIM_SIZE", 128)
SEND_LEASE_SECONDS = env.int("ZHIYIN_SEND_LEASE_SECONDS", 12)

# --- Applications ----------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "accounts",
    "console",
    "wechat_gateway",
    "library",
    "stores",
    "members",
    "touchpoints",
    "loyalty",
    "coupons",
    "referrals",
    "guides",
    "imports",
    "conversations",
    "inbox",
    "welcomes",
    "campaigns",
    "demo",
]
AUTH_USER_MODEL = "accounts.StaffUser"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "config.urls"
CONSOLE_URLCONF = "config.urls_console"
WSGI_APPLICATION = "config.wsgi.application"

MIDDLEWARE = [
    "accounts.middleware.RequestIdMiddleware",
    "common.metrics.RequestMetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "accounts.middleware.ApiLaneMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "accounts.middleware.BrandPathMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "accounts.middleware.StaffLanguageMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "accounts.middleware.BrandScopeMiddleware",
    "axes.middleware.AxesMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Storage ---------------------------------------------------------------------------------------------------------
# Three roles on one database: the application's (row security applies), the owner's (migrations only) and the
# callback intake's (see wechat_gateway). docs/security.md says which may do what.
DATABASES = {
    "default": {
        **env.db_url("DATABASE_URL"),
        "ENGINE": "common.postgres",  # Django's own, with fewer round trips
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": True,  # the brand setting is transaction-local, so poolers are welcome
        "OPTIONS": {"application_name": "zhiyin", "connect_timeout": 30 if ENVIRONMENT == "test" else 3},
    },
    "owner": {
        **env.db_url("DATABASE_OWNER_URL", default=env.str("DATABASE_URL")),
        "OPTIONS": {"application_name": "zhiyin-owner", "connect_timeout": 3},
        "TEST": {"MIRROR": None},
    },
}
DATABASE_INTAKE_URL = env.str("DATABASE_INTAKE_URL", "")
DATABASE_REPORTS_ROLE = env.str("DATABASE_REPORTS_ROLE", "zhiyin_reports")
DATABASE_APP_ROLE = env.str("DATABASE_APP_ROLE", "zhiyin_app")
DATABASE_INTAKE_ROLE = env.str("DATABASE_INTAKE_ROLE", "zhiyin_intake")

REDIS_URL = env.str("REDIS_URL")
REDIS_PATIENCE = 30.0 if ENVIRONMENT == "test" else 0.3  # seconds; a test fails for its own reason, not the machine's


def _redis_database(offset: int) -> str:
    parts = urlsplit(REDIS_URL)
    return str(urlunsplit(parts._replace(path=f"/{int(parts.path.strip('/') or 0) + offset}")))


CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": _redis_database(1),
        "KEY_FUNCTION": "accounts.caching.brand_key",
        "OPTIONS": {"socket_timeout": REDIS_PATIENCE, "socket_connect_timeout": REDIS_PATIENCE},
    },
}
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"

# --- Work in the background ------------------------------------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 120
CELERY_TASK_SOFT_TIME_LIMIT = 100
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 10
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 600,
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "max_retries": 1,
}
# Sweepers do not queue behind the work they rescue.
CELERY_TASK_ROUTES = {
    "wechat_gateway.tasks.handle_inbound": {"queue": "inbound"},
    "conversations.tasks.send_replies": {"queue": "send"},
    "campaigns.tasks.sweep_deliveries": {"queue": "default"},
    "inbox.tasks.deliver_message": {"queue": "send"},
    "welcomes.tasks.run_due": {"queue": "send"},
    "campaigns.tasks.*": {"queue": "send"},
    "library.tasks.*": {"queue": "sync"},
    "members.tasks.apply_due_facts": {"queue": "default"},  # seconds matter, and nothing of WeChat is waited for
    "members.tasks.send_sms": {"queue": "default"},  # somebody stands at a counter
    "members.tasks.send_waiting_sms": {"queue": "default"},
    "members.tasks.*": {"queue": "sync"},
    "touchpoints.tasks.*": {"queue": "sync"},
    "loyalty.tasks.*": {"queue": "sync"},
    "coupons.tasks.*": {"queue": "sync"},
    "referrals.tasks.*": {"queue": "sync"},
    "imports.tasks.*": {"queue": "sync"},
}
CELERY_BEAT_SCHEDULE = {
    "sweep inbound": {"task": "wechat_gateway.tasks.sweep_inbound", "schedule": 5.0},
    "refresh tokens": {"task": "wechat_gateway.tasks.refresh_tokens", "schedule": 60.0},
    "handle platform pushes": {"task": "wechat_gateway.tasks.handle_platform_pushes", "schedule": 60.0},
    "watch health": {"task": "wechat_gateway.tasks.watch_health", "schedule": 60.0},
    "sweep deliveries": {"task": "campaigns.tasks.sweep_deliveries", "schedule": 5.0},
    "forget conversations": {"task": "inbox.tasks.forget_all_old", "schedule": 3600.0},
    "resolve conversations": {"task": "inbox.tasks.resolve_all_answered", "schedule": 3600.0},
    "sweep inboxes": {"task": "inbox.tasks.sweep_inbox", "schedule": 10.0},
    "sweep welcomes": {"task": "welcomes.tasks.sweep", "schedule": 5.0},
    "sweep replies": {"task": "conversations.tasks.sweep_replies", "schedule": 5.0},
    "sweep menus": {"task": "conversations.tasks.sweep_menus", "schedule": 5.0},
    "settle menus": {"task": "conversations.tasks.settle_all_menus", "schedule": 60.0},
    "tidy replies": {"task": "conversations.tasks.tidy_replies", "schedule": 3600.0},
    "purge inbound": {"task": "wechat_gateway.tasks.purge_inbound", "schedule": 3600.0},
    # WeChat gives tags/get a thousand calls a day (reference: service account 6.1).
    "sync tags": {"task": "members.tasks.sync_all_tags", "schedule": 100.0},
    "renew codes": {"task": "touchpoints.tasks.renew_all_codes", "schedule": 3600.0},
    "end relations to guides": {"task": "guides.tasks.end_all_lapsed", "schedule": 3600.0},
    "count figures": {"task": "touchpoints.tasks.count_all_figures", "schedule": 30.0},
    "sweep text messages": {"task": "members.tasks.sweep_sms", "schedule": 15.0},
    "erase due": {"task": "members.tasks.erase_due", "schedule": 600.0},
    "refresh segments": {"task": "members.tasks.sweep_segments", "schedule": 60.0},
    "recount segments": {"task": "members.tasks.recount_all_segments", "schedule": 300.0},
    "snapshot groupings": {"task": "members.tasks.snapshot_groupings", "schedule": 3600.0},
    "sweep tags": {"task": "members.tasks.sweep_tags", "schedule": 5.0},
    "sweep library": {"task": "library.tasks.sweep_library", "schedule": 60.0},
    # Twenty files a call (reference: service account 5.12), at most 100 calls for a kind.
    "compare libraries": {"task": "library.tasks.compare_libraries", "schedule": 6 * 3600.0},
    "sweep points": {"task": "loyalty.tasks.sweep", "schedule": 60.0},
    "birthday benefits": {"task": "loyalty.tasks.find_all_birthdays", "schedule": 3600.0},
    "warn of points that end": {"task": "loyalty.tasks.warn_all", "schedule": 3600.0},
    "news of coupons and tiers": {"task": "loyalty.tasks.tell_all", "schedule": 3600.0},
    "sweep coupons": {"task": "coupons.tasks.sweep", "schedule": 60.0},
    "sweep invitations": {"task": "referrals.tasks.sweep", "schedule": 60.0},
    "keep privacy": {"task": "members.tasks.keep_privacy", "schedule": 3600.0},
    "seal audit logs": {"task": "members.tasks.seal_audit_logs", "schedule": 60.0},
    "sweep imports": {"task": "imports.tasks.sweep", "schedule": 30.0},
    "purge sessions": {"task": "members.tasks.purge_sessions", "schedule": 600.0},
    "refresh profiles": {"task": "members.tasks.refresh_due_profiles", "schedule": 15.0},
}

# --- Language, time --------------------------------------------------------------------------------------------------
LANGUAGE_CODE = "zh-hans"
LANGUAGES = [("zh-hans", _("Simplified Chinese")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "Asia/Shanghai"
FORMAT_MODULE_PATH = ["config.formats"]

# --- Static files ----------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = not IS_PRODUCTION
WHITENOISE_AUTOREFRESH = ENVIRONMENT == "test"  # no scan of every file for each client a test makes
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # What people send and brands upload: no address leads there, pages read it and hand it out to who may see it.
    "private": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": env.str("ZHIYIN_FILES", default=str(Path(STATE_DIR) / "files")), "base_url": None},
    },
    "staticfiles": {
        "BACKEND": (
            "whitenoise.storage.CompressedManifestStaticFilesStorage"
            if IS_PRODUCTION
            else "django.contrib.staticfiles.storage.StaticFilesStorage"
        ),
    },
}

# --- Safety ----------------------------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/brands/"
AXES_FAILURE_LIMIT = 8
AXES_COOLOFF_TIME = 1 / 6  # hours: ten minutes
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "accounts.rest.throttling.caller_address"  # behind our proxies, not the proxy itself
AXES_LOCKOUT_TEMPLATE = "registration/locked.html"
OTP_TOTP_ISSUER = "知音 Zhiyin"
PASSWORD_HASHERS = (
    ["django.contrib.auth.hashers.MD5PasswordHasher"]
    if ENVIRONMENT == "test"
    else ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
)
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if IS_PRODUCTION:
    SECURE_SSL_REDIRECT = env.bool("ZHIYIN_SSL_REDIRECT", True)
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]  # asked inside, by address
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
CSRF_TRUSTED_ORIGINS = env.list("ZHIYIN_TRUSTED_ORIGINS", default=[])
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        # Unfold's Alpine and htmx evaluate expressions from attributes; nothing is loaded from elsewhere.
        "script-src": ["'self'", "'unsafe-eval'", "'unsafe-inline'"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:", *([SIMULATOR_URL] if SIMULATOR_URL else []), "https://mp.weixin.qq.com"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576
METRICS_TOKEN = env.str("ZHIYIN_METRICS_TOKEN", "")

# --- REST API --------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.rest.authentication.MemberTokenAuthentication",
        "accounts.rest.authentication.ApiKeyAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.rest.permissions.Authenticated"],
    "DEFAULT_RENDERER_CLASSES": ["accounts.rest.renderers.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["accounts.rest.parsers.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": None,  # lists page by `accounts.rest.pagination.Keyset`
    "DEFAULT_FILTER_BACKENDS": [],
    "EXCEPTION_HANDLER": "accounts.rest.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "知音 Zhiyin API",
    "DESCRIPTION": (
        "REST API for mini-program front ends and for a brand's other systems.\n\n"
        "The brand always comes from the token or key, never from a parameter. Bodies are JSON in UTF-8, 64 KiB at "
        "most. Unknown fields and parameters are refused (422). Moments are UTC. Lists are read page by page: pass "
        "`next` as `cursor` until it is null.\n\n"
        'Every error has one shape: `{"error": {"code", "message", "hint", "fields": [{"field", "message"}]}}`. '
        "`code` is stable; texts follow `Accept-Language` (zh-Hans, en)."
    ),
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.0.3",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None, "persistAuthorization": False},
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "PurposeEnum": "members.models.Purpose",
        "CampaignStateEnum": "campaigns.models.CampaignState",
        "JournalKindEnum": "loyalty.models.ledger.JournalKind",
        "CouponKindEnum": "coupons.rules.Kind",
        "CouponStateEnum": "coupons.models.State",
        "CouponWayEnum": "coupons.models.Way",
        "CouponMoveKindEnum": "coupons.models.MoveKind",
        "CouponPushStateEnum": "coupons.models.PushState",
        "FactKindEnum": "loyalty.models.facts.FactKind",
        "ProfileFieldKindEnum": "members.models.FieldKind",
        "RequestKindEnum": "members.models.RequestKind",
        "IdentityKindEnum": "members.models.IdentityKind",
        "LinkedKindEnum": "members.api.identities.KINDS",
        "ImportKindEnum": [("members", "members"), ("orders", "orders")],
        "MediaKindEnum": "library.models.MediaKind.values",
        "BenefitKindEnum": "loyalty.models.tiers.BenefitKind",
    },
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "TAGS": [
        {"name": "session", "description": "Signing in from a mini program."},
        {"name": "me", "description": "What a member sees and changes about themselves."},
        {"name": "stores", "description": "Stores, nearest first or page by page."},
        {"name": "members", "description": "Members, for the brand's other systems."},
        {"name": "coupons", "description": "Coupons: at checkout, at the counter, and given by other systems."},
        {"name": "segments", "description": "Segments, for the brand's other systems."},
        {"name": "imports", "description": "Tables of members and orders, for the brand's other systems."},
        {"name": "campaigns", "description": "Campaigns and their progress, for the brand's other systems."},
    ],
}
# Token buckets: how many calls at once, and how many a second from then on (docs/api.md).
API_RATES = {
    "log-in": (60, 2.0),  # an address; many phones share one behind a carrier's NAT
    "phone": (5, 1 / 30),  # a person
    "code": (10, 1 / 20),  # a person who enters coupon codes
    "member": (60, 10.0),  # a person
    "key": (200, 50.0),  # an API key
}
TRUSTED_PROXY_HOPS = env.int("ZHIYIN_TRUSTED_PROXY_HOPS", 0)  # how many of our own proxies add to X-Forwarded-For
SIMPLE_JWT_ACCESS_MINUTES = env.int("ZHIYIN_MEMBER_TOKEN_MINUTES", 120)

# --- Logs ------------------------------------------------------------------------------------------------------------
LOGGING_CONFIG = "common.logs.configure"
LOGGING = {"level": env.str("ZHIYIN_LOG_LEVEL", "INFO"), "json": IS_PRODUCTION}
