"""Streams, threads and coroutines: rows of the right brand or an error, never rows without a brand in scope."""

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection
from django.http import StreamingHttpResponse

from accounts.errors import BrandMismatch, NoBrandInScope
from accounts.tenancy import brand_scope, current_scope, reporting
from members.models import Tag
from tests.factories import make_tag


@pytest.fixture
def two(brand, other_brand):
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            for number in range(5):
                make_tag(f"{each.slug} {number}")
    return brand, other_brand


@pytest.fixture
def committed(transactional_db):
    from tests.factories import make_brand

    brands = make_brand(), make_brand("zaoshan", "灶山小馆")
    for each in brands:
        with brand_scope(each.pk):
            make_tag(each.slug)
    return brands


def seen_by_sql():
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM members_tag ORDER BY name")
        return [row[0] for row in cursor.fetchall()]


def test_stream_that_opens_its_own_scope_gives_its_brand_only(two):
    brand, other = two

    def rows():
        with brand_scope(brand.pk):
            for name in Tag.objects.order_by("pk").values_list("name", flat=True).iterator(chunk_size=2):
                yield f"{name}\n"

    text = b"".join(StreamingHttpResponse(rows()).streaming_content).decode()
    assert text.count(brand.slug) == 5
    assert other.slug not in text
    assert current_scope() is None


def test_stream_that_outlives_its_scope_raises(two):
    with brand_scope(two[0].pk):
        answer = StreamingHttpResponse(name for name in iter(lambda: Tag.objects.get().name, None))
    with pytest.raises(NoBrandInScope):
        b"".join(answer.streaming_content)


def test_query_built_in_a_scope_finds_nothing_after_it(two):
    with brand_scope(two[0].pk):
        kept = Tag.objects.order_by("pk")
    assert list(kept) == []
    with brand_scope(two[1].pk):
        assert list(kept.all()) == []


def test_generator_closed_half_way_leaves_no_scope(two):
    def rows():
        with brand_scope(two[0].pk):
            yield from Tag.objects.values_list("name", flat=True).iterator(chunk_size=1)

    stream = rows()
    next(stream)
    stream.close()
    assert current_scope() is None
    assert seen_by_sql() == []


def test_generator_left_open_does_not_lend_its_scope_to_another_brand(two):
    def rows():
        with brand_scope(two[0].pk):
            yield from Tag.objects.values_list("name", flat=True)

    stream = rows()
    next(stream)
    with pytest.raises(BrandMismatch), brand_scope(two[1].pk):
        pass
    stream.close()


@pytest.mark.django_db(transaction=True)
def test_thread_has_no_scope_of_its_own(committed):
    def work():
        try:
            with pytest.raises(NoBrandInScope):
                Tag.objects.count()
            return seen_by_sql()
        finally:
            connection.close()

    with brand_scope(committed[0].pk), ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() == []


@pytest.mark.django_db(transaction=True)
def test_thread_that_is_handed_the_scope_finds_nothing_without_a_transaction_of_its_own(committed):
    """The context can be copied; the brand of the transaction cannot."""

    def work():
        try:
            return list(Tag.objects.values_list("name", flat=True)), seen_by_sql()
        finally:
            connection.close()

    with brand_scope(committed[0].pk), ThreadPoolExecutor(1) as pool:
        assert pool.submit(contextvars.copy_context().run, work).result() == ([], [])


@pytest.mark.django_db(transaction=True)
def test_many_threads_each_see_their_brand(committed):
    def work(number):
        brand = committed[number % 2]
        try:
            with brand_scope(brand.pk):
                names = list(Tag.objects.values_list("name", flat=True))
            return names == [brand.slug] and seen_by_sql() == []
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(80)))


@pytest.mark.django_db(transaction=True)
def test_coroutines_each_see_their_brand(committed):
    def work(number):
        brand = committed[number % 2]
        try:
            with brand_scope(brand.pk):
                return list(Tag.objects.values_list("name", flat=True)) == [brand.slug]
        finally:
            connection.close()  # the thread outlives the test

    async def many():
        return await asyncio.gather(*(sync_to_async(work)(number) for number in range(20)))

    assert all(asyncio.run(many()))
    assert current_scope() is None


@pytest.mark.django_db(transaction=True)
def test_scope_cannot_be_opened_in_a_coroutine(committed):
    async def work():
        with brand_scope(committed[0].pk):
            pass

    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(work())
    assert current_scope() is None


def test_stream_of_the_reports_role_ends_with_it(two):
    def rows():
        with reporting(two[0].pk):
            yield from Tag.objects.values_list("name", flat=True).iterator(chunk_size=1)

    stream = rows()
    assert two[0].slug in next(stream)
    stream.close()
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("zhiyin_app",)
