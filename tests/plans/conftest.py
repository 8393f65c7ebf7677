"""The stage of the campaigns' tests, for the statements that sending runs."""

from tests.campaigns.conftest import stage, wechat, wechat_server

__all__ = ["stage", "wechat", "wechat_server"]
