"""Users, devices and contacts, on each database."""

from __future__ import annotations

import asyncio

import pytest

from calto_demo.server.people import NoSuchUser, People, User


async def test_a_guest_is_found_by_id_and_nobody_else(people: People):
    ada = await people.add("Ada", "guest", now=1.0)
    assert await people.get(ada.id) == ada == User("u-0001", "Ada", "guest")
    with pytest.raises(NoSuchUser):
        await people.get("u-0002")


async def test_who_comes_again_from_a_provider_is_who_they_were(people: People):
    come = [people.account("https://id.example", "7", "Ada", now=1.0) for _ in range(4)]
    assert len(set(await asyncio.gather(*come))) == 1
    other = await people.account("https://other.example", "7", "Eve", now=1.0)
    assert other.name == "Eve", "the same subject of another provider is somebody else"


async def test_a_name_is_a_text_and_nothing_more(people: People):
    name = "'; DROP TABLE users; --"
    eve = await people.add(name, "guest", now=1.0)
    await people.add("100%", "guest", now=1.0)
    assert (await people.get(eve.id)).name == name
    assert [user.name for user, _ in await people.search("drop table")] == [name]
    assert [user.name for user, _ in await people.search("%")] == ["100%"]
    assert [user.name for user, _ in await people.search("_")] == []


async def test_a_device_is_good_until_it_signs_out_and_for_its_user_alone(people: People):
    ada, bob = [await people.add(name, "guest", now=1.0) for name in ("Ada", "Bob")]
    phone = await people.add_device(ada.id, "Firefox" * 100, now=1.0)
    laptop = await people.add_device(ada.id, "", now=1.0)
    assert await people.on_device(ada.id, phone) == ada
    assert await people.on_device(bob.id, phone) is None
    await people.sign_out(phone, now=2.0)
    assert await people.on_device(ada.id, phone) is None
    assert await people.on_device(ada.id, laptop) == ada


async def test_contacts_are_remembered_once_and_known_from_both_sides(people: People):
    ada, bob = [await people.add(name, "guest", now=1.0) for name in ("Ada", "Bob")]
    for _ in range(2):
        await people.add_contact(ada.id, bob.id)
    assert await people.contacts_of(ada.id) == {bob.id}
    assert await people.contacts_of(bob.id) == set()
    assert await people.acquainted([bob.id]) == {bob.id: {ada.id}}
    with pytest.raises(NoSuchUser):
        await people.add_contact(ada.id, "u-nobody")
    for _ in range(2):
        await people.remove_contact(ada.id, bob.id)
    assert await people.acquainted([ada.id]) == {ada.id: set()}


async def test_people_are_listed_by_name_with_when_they_were_seen(people: People):
    bob, ada = [await people.add(name, "guest", now=1.0) for name in ("Bob", "Ada")]
    await people.seen(bob.id, now=5.0)
    assert await people.some([ada.id, bob.id, "u-x"]) == [(ada, None), (bob, 5.0)]
    renamed = await people.rename(bob.id, "Aaron")
    assert [user for user, _ in await people.some([ada.id, bob.id])] == [renamed, ada]
