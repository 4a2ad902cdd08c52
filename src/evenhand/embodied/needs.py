"""What steps of a plan can need in a scene of VirtualHome, and which error it is where that does not hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evenhand.embodied.scenes import HANDS, Scene

# Why a step is not taken. Of these only the last lets the plan go on.
ORDER, MISSING, AFFORDANCE, ADDITIONAL = "wrong order", "missing step", "affordance", "additional step"


@dataclass(frozen=True)
class Fault:
    """Why a step cannot be taken.

    Attributes:
        kind: of the error.
        why: in words.
    """

    kind: str
    why: str


@dataclass(frozen=True)
class Step:
    """A scene, and the objects that a step is about (at most two)."""

    scene: Scene
    objects: tuple[int, ...]

    @property
    def me(self) -> int:
        return self.scene.character

    @property
    def thing(self) -> int:
        return self.objects[0]

    def is_a(self, place: int, *properties: str) -> bool:
        return not self.scene.things[self.objects[place]].properties.isdisjoint(properties)

    def named(self, place: int, *names: str) -> bool:
        return self.scene.things[self.objects[place]].name in names

    def name(self, place: int = 0) -> str:
        return self.scene.things[self.objects[place]].name


Need = Callable[[Step], Fault | None]


def lacking(held_before: bool, why: str) -> Fault:
    """A need that is not met now; had it been met before, the order of steps is wrong."""
    return Fault(ORDER if held_before else MISSING, why)


def able(*properties: str, names: tuple[str, ...] = (), place: int = 0) -> Need:
    def need(step: Step) -> Fault | None:
        if step.is_a(place, *properties) or step.named(place, *names):
            return None
        return Fault(AFFORDANCE, f"{step.name(place)} is not {' or '.join(properties)}")

    return need


def is_close(scene: Scene, thing: int) -> bool:
    """The character is close to an object, to something close to it, or to what it is on."""
    me = scene.character
    return scene.has(me, "CLOSE", thing) or any(
        scene.has(near, "CLOSE", thing) or scene.has(thing, "ON", near) for near in scene.targets(me, "CLOSE")
    )


def close(place: int = 0) -> Need:
    def need(step: Step) -> Fault | None:
        thing = step.objects[place]
        if is_close(step.scene, thing):
            return None
        return lacking((step.me, "CLOSE", thing) in step.scene.held, f"not close to {step.name(place)}")

    return need


def facing(step: Step) -> Fault | None:
    scene, me = step.scene, step.me
    faced = scene.targets(me, "FACING")
    if step.thing in faced or any(scene.has(other, "FACING", step.thing) for other in faced):
        return None
    return lacking((me, "FACING", step.thing) in scene.held, f"not facing {step.name()}")


def holding(step: Step) -> Fault | None:
    if step.thing in step.scene.targets(step.me, *HANDS):
        return None
    before = any((step.me, hand, step.thing) in step.scene.held for hand in HANDS)
    return lacking(before, f"not holding {step.name()}")


def free_hand(step: Step) -> Fault | None:
    if any(not step.scene.targets(step.me, hand) for hand in HANDS):
        return None
    return lacking("HOLDS" in step.scene.lacked, "no free hand")


def holding_any(step: Step) -> Fault | None:
    if step.scene.targets(step.me, *HANDS):
        return None
    before = any(len(fact) == 3 and fact[0] == step.me and fact[1] in HANDS for fact in step.scene.held)
    return lacking(before, "nothing in hands")


def knife(step: Step) -> Fault | None:
    if any("knife" in step.scene.things[held].name for held in step.scene.targets(step.me, *HANDS)):
        return None
    return Fault(MISSING, "not holding a knife")


def reachable(step: Step) -> Fault | None:
    scene = step.scene
    places = [place for place in scene.targets(step.thing, "INSIDE") if not scene.things[place].room]
    if not any("CLOSED" in scene.states[place] for place in places):
        return None
    return lacking((step.thing, "OPEN") in scene.held, f"{step.name()} is inside a closed thing")


def upright(step: Step) -> Fault | None:
    if step.scene.states[step.me].isdisjoint({"SITTING", "LYING"}):
        return None
    return lacking(step.scene.lacked >= {"SITTING", "LYING"}, "not standing")


def at_rest(step: Step) -> Fault | None:
    if not step.scene.states[step.me].isdisjoint({"SITTING", "LYING"}):
        return None
    return lacking((step.me, "LYING") in step.scene.held, "not lying or sitting")


def not_yet(state: str) -> Need:
    def need(step: Step) -> Fault | None:
        return Fault(ADDITIONAL, f"is {state} already") if state in step.scene.states[step.me] else None

    return need


def is_now(state: str) -> Need:
    """The object has the state that the action ends; else there is nothing to do."""

    def need(step: Step) -> Fault | None:
        if state in step.scene.states[step.thing]:
            return None
        return Fault(ADDITIONAL, f"{step.name()} is not {state}")

    return need


def is_not(state: str) -> Need:
    def need(step: Step) -> Fault | None:
        return Fault(ADDITIONAL, f"{step.name()} is {state}") if state in step.scene.states[step.thing] else None

    return need


def space(places: dict[str, int]) -> Need:
    def need(step: Step) -> Fault | None:
        on_it = len(step.scene.sources("ON", step.thing))
        return Fault(MISSING, f"no space on {step.name()}") if on_it >= places.get(step.name(), 1) else None

    return need


def in_a_room(step: Step) -> Fault | None:
    if None in (step.scene.room(step.thing), step.scene.room(step.me)):
        return Fault(AFFORDANCE, f"there is no way to {step.name()}")
    return None


def same_room(step: Step) -> Fault | None:
    room = step.scene.room(step.thing)
    if room is not None and room == step.scene.room(step.me):
        return None
    return Fault(AFFORDANCE, f"{step.name()} is in another room")


def not_taken(step: Step) -> Fault | None:
    return Fault(ADDITIONAL, f"{step.name()} is grabbed already") if step.thing in step.scene.taken_from else None


def taken(step: Step) -> Fault | None:
    return None if step.thing in step.scene.taken_from else Fault(MISSING, f"{step.name()} was not grabbed")


def open_for_it(step: Step) -> Fault | None:
    if not step.is_a(1, "CAN_OPEN") or "OPEN" in step.scene.states[step.objects[1]]:
        return None
    return Fault(AFFORDANCE, f"{step.name(1)} is not open")


def worn(step: Step) -> Fault | None:
    if step.scene.has(step.thing, "ON", step.me):
        return None
    return lacking((step.thing, "ON", step.me) in step.scene.held, f"not wearing {step.name()}")


def eatable(step: Step) -> Fault | None:
    on_it = step.scene.sources("ON", step.thing)
    if step.is_a(0, "EATABLE") or any("EATABLE" in step.scene.things[food].properties for food in on_it):
        return None
    return Fault(AFFORDANCE, f"{step.name()} is not EATABLE")
