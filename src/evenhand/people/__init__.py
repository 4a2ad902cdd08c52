"""People: what an assistant may know of a human apart from the identity."""

from evenhand.people.base import PEOPLE, assigned, make_people, plain_person, read_people, read_person, select_people

__all__ = ["PEOPLE", "assigned", "make_people", "plain_person", "read_people", "read_person", "select_people"]
