"""The product's tables as the peers see them: unmanaged models without the product's guards."""
# ruff: noqa: DJ008 - nobody prints them

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Brand(models.Model):
    slug = models.CharField(max_length=40)
    is_active = models.BooleanField()

    class Meta:
        app_label, managed, db_table = "peers", False, "accounts_brand"


class ApiKey(models.Model):
    brand = models.ForeignKey(Brand, models.DO_NOTHING)
    prefix = models.CharField(max_length=12)
    fingerprint = models.CharField(max_length=64)
    scopes = models.JSONField()
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        app_label, managed, db_table = "peers", False, "accounts_apikey"


class Store(models.Model):
    brand = models.ForeignKey(Brand, models.DO_NOTHING)
    code = models.CharField(max_length=20)
    name = models.CharField(max_length=60)

    class Meta:
        app_label, managed, db_table = "peers", False, "stores_store"


class Shop(models.Model):
    """A store as somebody sees it who looks for one; `Store` is what the card names."""

    brand = models.ForeignKey("Place", models.DO_NOTHING)
    code = models.CharField(max_length=20)
    name = models.CharField(max_length=60)
    address = models.CharField(max_length=200)
    telephone = models.CharField(max_length=30)
    lat = models.FloatField(null=True)
    lng = models.FloatField(null=True)
    is_active = models.BooleanField()

    class Meta:
        app_label, managed, db_table = "peers", False, "stores_store"


class Place(models.Model):
    """A brand with its time zone."""

    timezone = models.CharField(max_length=40)

    class Meta:
        app_label, managed, db_table = "peers", False, "accounts_brand"


class Span(models.Model):
    store = models.ForeignKey(Shop, models.DO_NOTHING, related_name="spans")
    weekday = models.SmallIntegerField()
    opens = models.TimeField()
    closes = models.TimeField()

    class Meta:
        app_label, managed, db_table = "peers", False, "stores_openinghours"


class DayException(models.Model):
    store = models.ForeignKey(Shop, models.DO_NOTHING, related_name="exceptions")
    day = models.DateField()
    opens = models.TimeField(null=True)
    closes = models.TimeField(null=True)

    class Meta:
        app_label, managed, db_table = "peers", False, "stores_dayexception"


class Tag(models.Model):
    brand = models.ForeignKey(Brand, models.DO_NOTHING)
    name = models.CharField(max_length=30)

    class Meta:
        app_label, managed, db_table = "peers", False, "members_tag"


class Member(models.Model):
    brand = models.ForeignKey(Brand, models.DO_NOTHING)
    member_no = models.CharField(max_length=20)
    name = models.CharField(max_length=60)
    phone_index = models.UUIDField(null=True)
    phone_tail = models.CharField(max_length=4)
    phone_masked = models.CharField(max_length=20)
    birth_mmdd = models.SmallIntegerField(null=True)
    city = models.CharField(max_length=40)
    store = models.ForeignKey(Store, models.DO_NOTHING, null=True)
    joined_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    subscribed = models.BooleanField()
    last_interaction_at = models.DateTimeField(null=True)
    tag_ids = ArrayField(models.BigIntegerField())
    merged_into = models.ForeignKey("self", models.DO_NOTHING, null=True, related_name="+")
    tags = models.ManyToManyField(Tag, through="MemberTag")

    class Meta:
        app_label, managed, db_table = "peers", False, "members_member"


class MemberTag(models.Model):
    member = models.ForeignKey(Member, models.DO_NOTHING)
    tag = models.ForeignKey(Tag, models.DO_NOTHING)

    class Meta:
        app_label, managed, db_table = "peers", False, "members_membertag"


class Follower(models.Model):
    brand = models.ForeignKey(Brand, models.DO_NOTHING)
    member = models.ForeignKey(Member, models.DO_NOTHING, related_name="followers")
    openid = models.CharField(max_length=64)
    subscribed = models.BooleanField()
    followed_at = models.DateTimeField(null=True)

    class Meta:
        app_label, managed, db_table = "peers", False, "members_follower"


class Identity(models.Model):
    brand = models.ForeignKey(Brand, models.DO_NOTHING)
    member = models.ForeignKey(Member, models.DO_NOTHING, related_name="identities")
    kind = models.CharField(max_length=20)
    value = models.CharField(max_length=64)
    since = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        app_label, managed, db_table = "peers", False, "members_identity"


class Session(models.Model):
    brand = models.ForeignKey(Brand, models.DO_NOTHING)
    public_id = models.UUIDField()
    member = models.ForeignKey(Member, models.DO_NOTHING)
    expires_at = models.DateTimeField()

    class Meta:
        app_label, managed, db_table = "peers", False, "members_miniprogramsession"


class Guide(models.Model):
    brand = models.ForeignKey(Brand, models.DO_NOTHING)
    staff_no = models.CharField(max_length=20)
    name = models.CharField(max_length=40)
    store = models.ForeignKey(Store, models.DO_NOTHING)

    class Meta:
        app_label, managed, db_table = "peers", False, "guides_guide"


class Assignment(models.Model):
    brand = models.ForeignKey(Brand, models.DO_NOTHING)
    member = models.ForeignKey(Member, models.DO_NOTHING)
    guide = models.ForeignKey(Guide, models.DO_NOTHING)
    since = models.DateTimeField()
    until = models.DateTimeField(null=True)

    class Meta:
        app_label, managed, db_table = "peers", False, "guides_assignment"
