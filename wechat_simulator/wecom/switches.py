"""What the reference of WeCom leaves open, or what tests want to turn: the part of the switches table for WeCom."""

from __future__ import annotations

from dataclasses import dataclass

# Sections are of the reference of the mini program, WeCom and WeChat Pay.


@dataclass
class WeComSwitches:
    """README.md lists each with its source."""

    wecom_calls_per_minute: int = 10_000  # 2.2: per corp and path; past it 45009 for 60 seconds
    wecom_calls_per_hour: int = 150_000  # 2.2: past it 45009 for 60 minutes
    wecom_ip_per_minute: int = 20_000  # 2.2: per address
    wecom_ip_per_hour: int = 600_000  # 2.2
    wecom_welcome_seconds: float = 20.0  # 2.7: how long a welcome code lives
    wecom_welcome_race_seconds: float = 1.0  # 2.2, 2.7: another app so soon after the first is 41096 (unconfirmed)
    wecom_welcome_unknown_code: int = 40058  # what an unknown welcome code is answered with (unconfirmed)
    wecom_welcome_fills_nickname: bool = False  # 2.7: %NICKNAME% in send_welcome_msg (unconfirmed)
    wecom_readd_keeps_state: bool = False  # 2.4: added again through another code (unconfirmed)
    wecom_contact_ways: int = 500_000  # 2.6: per corp, join ways too
    wecom_contact_ways_full_code: int = 40058  # 2.6: what a full corp is answered with (unconfirmed)
    wecom_tags: int = 10_000  # 2.8: per corp
    wecom_tags_per_customer: int = 3_000  # 2.8: per member and customer
    wecom_tag_exists_code: int = 301021  # 2.8: duplicate names (unconfirmed)
    wecom_transfer_seconds: float = 86_400.0  # 2.9: completes by itself after 24 hours
    wecom_transfers_per_90_days: int = 2  # 2.9: 40128
    wecom_transfer_remarks_follow: bool = False  # 2.9: remark and tags go along (unconfirmed)
    wecom_transfer_add_event: bool = False  # 2.9: add_external_contact for the taker when it completes (unconfirmed)
    wecom_inactive_taker_code: int = 40058  # 2.9: the taker is not activated (unconfirmed)
    wecom_group_size: int = 200  # 2.10: or 500
    wecom_group_transfers_per_day: int = 300  # 2.9: per person
    wecom_group_transfer_full_code: int = 90508  # 2.9: the 301st of a day (unconfirmed)
    wecom_quit_scene_self: int = 0  # 2.10: left by oneself is 0 in one source, 1 in another; removed is one more
    wecom_tag_filter_all_groups: bool = True  # 2.11: AND between the groups of a tag_filter (unconfirmed)
    wecom_mass_chats: int = 2_000  # 2.11: chat_id_list (unconfirmed)
    wecom_mass_per_month: int = 0  # 2.11: what a customer gets in a month; 0: the days of the month (older: 4)
    wecom_mass_nobody_code: int = 41048  # 2.11: nobody can be reached (unconfirmed)
    wecom_remind_code: int = 45009  # 2.11: the fourth reminder in 24 hours (unconfirmed)
    wecom_pending_days: int = 90  # 2.5: life of a pending_id
    wecom_conversions_per_hour: int = 100_000  # 2.5
    wecom_conversions_per_day: int = 480_000  # 2.5
    wecom_conversions_per_month: int = 7_500_000  # 2.5
    wecom_foreign_pair_code: int = 40058  # 2.5: unionid and openid are not one person's of this subject (unconfirmed)
