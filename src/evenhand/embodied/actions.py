"""What a character can do in a scene of VirtualHome: for each action what it needs, and what it changes.

The order of an action's needs counts: the first that is not met names the error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from evenhand.embodied import needs
from evenhand.embodied.needs import ADDITIONAL, Fault, Need, Step
from evenhand.embodied.scenes import HANDS, Scene

Effect = Callable[[Step], None]

_SEATS = {"couch": 4, "bed": 4, "loveseat": 2, "sofa": 4, "pianobench": 2, "bench": 2}
_BEDS = {"couch": 2, "bathtub": 2, "bed": 3, "loveseat": 2, "sofa": 2}
_SQUEEZABLE = frozenset(
    {"cleaning_solution", "tooth_paste", "shampoo", "food_peanut_butter", "dish_soap", "soap", "towel", "rag", "paper"}
    | {"sponge", "food_lemon", "check"}
)


@dataclass(frozen=True)
class Action:
    """What an action takes, needs and does.

    Attributes:
        objects: how many it is about.
        needs: in the order in which they are checked.
        effect: on the scene.
    """

    objects: int
    needs: tuple[Need, ...] = ()
    effect: Effect = lambda step: None


def _goes(step: Step) -> None:
    """To an object: close to it, to what it is in or on, and to what can be taken out of it."""
    scene, me, thing = step.scene, step.me, step.thing
    left, room = scene.room(me), scene.room(thing)
    scene.part(me, "INSIDE", "CLOSE", "FACING")
    if room is not None:
        scene.add(me, "INSIDE", room)
    near: list[int] = []
    if room != thing:
        boxes = [place for place in scene.targets(thing, "INSIDE") if not scene.things[place].room]
        near += [*boxes, *(n for n, other in scene.things.items() if "BODY_PART" in other.properties), thing]
    for other in near:
        scene.add(me, "CLOSE", other, both=True)
    held = scene.targets(me, *HANDS)
    for other in held:
        scene.part(other, "INSIDE", "CLOSE", "FACING")
    for other in held:
        scene.add(me, "CLOSE", other, both=True)
        if left is not None:
            scene.add(other, "INSIDE", left)
    inside = scene.sources("INSIDE", thing) if step.is_a(0, "CAN_OPEN") else []
    for other in (*inside, *scene.targets(thing, "ON")):
        scene.add(me, "CLOSE", other, both=True)


def _looks_around(step: Step) -> None:
    for faced in step.scene.targets(step.me, "FACING"):
        step.scene.remove(step.me, "FACING", faced)
    step.scene.add(step.me, "CLOSE", step.thing, both=True)


def _turns(step: Step) -> None:
    for faced in step.scene.targets(step.me, "FACING"):
        step.scene.remove(step.me, "FACING", faced)
    step.scene.add(step.me, "FACING", step.thing)


def _sits(step: Step) -> None:
    step.scene.add(step.me, "ON", step.thing)
    for faced in step.scene.targets(step.thing, "FACING"):
        step.scene.add(step.me, "FACING", faced)
    step.scene.change(step.me, ["LYING"], ["SITTING"])


def _lies(step: Step) -> None:
    step.scene.add(step.me, "ON", step.thing)
    step.scene.change(step.me, ["SITTING"], ["LYING"])


def _rises(step: Step) -> None:
    step.scene.change(step.me, ["SITTING", "LYING"])


def _takes(step: Step) -> None:
    scene, me, thing = step.scene, step.me, step.thing
    hand = next(hand for hand in HANDS if not scene.targets(me, hand))
    places = ((how, place) for how in ("ON", "INSIDE", "CLOSE") for place in scene.targets(thing, how))
    place = next((found for found in places if not scene.things[found[1]].room), None)
    room = scene.room(me)
    scene.part(thing, "ON", "INSIDE", "CLOSE", *HANDS)
    scene.add(me, "CLOSE", thing, both=True)
    scene.add(me, hand, thing)
    if room is not None:
        scene.add(thing, "INSIDE", room)
    if place:
        scene.add(me, "CLOSE", place[1], both=True)
        scene.taken_from[thing] = place


def _lets_go(step: Step) -> None:
    for hand in HANDS:
        step.scene.remove(step.me, hand, step.thing)


def _puts(relation: str) -> Effect:
    def effect(step: Step) -> None:
        thing, place = step.objects
        _lets_go(step)
        step.scene.add(step.me, "CLOSE", place, both=True)
        step.scene.add(thing, "CLOSE", place, both=True)
        step.scene.add(thing, relation, place)
        step.scene.taken_from.pop(thing, None)

    return effect


def _back(step: Step) -> tuple[str, Step]:
    how, place = step.scene.taken_from[step.thing]
    return how, Step(step.scene, (step.thing, place))


def _place_for_it(step: Step) -> Fault | None:
    how, put = _back(step)
    return needs.close(1)(put) or (needs.open_for_it(put) if how == "INSIDE" else None)


def _puts_back(step: Step) -> None:
    how, put = _back(step)
    _puts(how)(put)


def _drops(step: Step) -> None:
    room = step.scene.room(step.me)
    _lets_go(step)
    if room is not None:
        step.scene.add(step.thing, "INSIDE", room)
    step.scene.taken_from.pop(step.thing, None)


def _dresses(step: Step) -> None:
    step.scene.add(step.thing, "ON", step.me)
    _lets_go(step)


def _undresses(step: Step) -> None:
    step.scene.remove(step.thing, "ON", step.me)


def _pours(step: Step) -> None:
    step.scene.add(step.thing, "INSIDE", step.objects[1])
    if step.named(0, "water"):
        _lets_go(step)


def _becomes(gone: str, come: str) -> Effect:
    return lambda step: step.scene.change(step.thing, [gone], [come])


def _opens() -> Iterator[tuple[str, Action]]:
    can = needs.able("CAN_OPEN", names=("desk", "window"))
    yield (
        "OPEN",
        Action(
            1,
            (can, needs.close(), needs.free_hand, needs.is_now("CLOSED"), needs.is_not("ON")),
            _becomes("CLOSED", "OPEN"),
        ),
    )
    yield "CLOSE", Action(1, (can, needs.close(), needs.is_now("OPEN")), _becomes("OPEN", "CLOSED"))


def _switches() -> Iterator[tuple[str, Action]]:
    can = needs.able("HAS_SWITCH")
    on = (can, needs.close(), needs.is_now("OFF"), needs.is_not("PLUGGED_OUT"))
    yield "SWITCHON", Action(1, on, _becomes("OFF", "ON"))
    yield "SWITCHOFF", Action(1, (can, needs.close(), needs.is_now("ON")), _becomes("ON", "OFF"))
    plug = (needs.able("HAS_PLUG"), needs.close(), needs.free_hand)
    yield "PLUGIN", Action(1, (*plug, needs.is_now("PLUGGED_OUT")), _becomes("PLUGGED_OUT", "PLUGGED_IN"))
    yield "PLUGOUT", Action(1, (*plug, needs.is_now("PLUGGED_IN")), _becomes("PLUGGED_IN", "PLUGGED_OUT"))


def _finds(step: Step) -> Fault | None:
    """What is close, worn or a part of the body is found without going anywhere."""
    if needs.is_close(step.scene, step.thing):
        return None
    if step.scene.has(step.thing, "ON", step.me) or step.is_a(0, "BODY_PART"):
        return needs.close()(step)
    return needs.upright(step) or needs.in_a_room(step)


def _find(step: Step) -> None:
    (_looks_around if needs.is_close(step.scene, step.thing) else _goes)(step)


_WALK = Action(1, (needs.upright, needs.in_a_room), _goes)
_LOOK = Action(1, (needs.facing,))
_CLEAN = _becomes("DIRTY", "CLEAN")
_WASH = Action(1, (needs.close(),), _CLEAN)
_GRABBABLE = needs.able("GRABBABLE", names=("water", "child"))
_DROP = Action(1, (needs.holding,), _drops)


def _moves(push: bool) -> Action:
    can = needs.able("MOVABLE", names=("chair", "curtain", "button"))
    # Anything can be pushed.
    return Action(1, (*(() if push else (can,)), needs.close(), needs.reachable, needs.free_hand))


ACTIONS: dict[str, Action] = {
    "WALK": _WALK,
    "RUN": _WALK,
    "FIND": Action(1, (_finds,), _find),
    "TURNTO": Action(1, (), _turns),
    "LOOKAT": _LOOK,
    "LOOKAT_SHORT": _LOOK,
    "LOOKAT_MEDIUM": _LOOK,
    "LOOKAT_LONG": _LOOK,
    "POINTAT": _LOOK,
    "WATCH": Action(1, (needs.able("LOOKABLE"), needs.same_room, needs.facing, needs.reachable)),
    "SIT": Action(1, (needs.close(), needs.not_yet("SITTING"), needs.able("SITTABLE"), needs.space(_SEATS)), _sits),
    "LIE": Action(1, (needs.close(), needs.not_yet("LYING"), needs.able("LIEABLE"), needs.space(_BEDS)), _lies),
    "STANDUP": Action(
        0, (lambda step: None if needs.upright(step) else Fault(ADDITIONAL, "is standing already"),), _rises
    ),
    "SLEEP": Action(0, (needs.at_rest,)),
    "WAKEUP": Action(0, (needs.at_rest,)),
    "GRAB": Action(1, (_GRABBABLE, needs.not_taken, needs.close(), needs.reachable, needs.free_hand), _takes),
    "PUTBACK": Action(2, (needs.holding, needs.close(1)), _puts("ON")),
    "PUTIN": Action(2, (needs.holding, needs.close(1), needs.open_for_it), _puts("INSIDE")),
    "PUTOBJBACK": Action(1, (needs.taken, needs.holding, _place_for_it), _puts_back),
    "DROP": _DROP,
    "RELEASE": _DROP,
    "PUTON": Action(1, (needs.holding, needs.able("CLOTHES")), _dresses),
    "PUTOFF": Action(1, (needs.worn, needs.able("CLOTHES")), _undresses),
    "POUR": Action(
        2,
        (
            needs.able("POURABLE", "DRINKABLE"),
            needs.able("RECIPIENT", names=("hands_both", "sponge", "face"), place=1),
            needs.holding,
            needs.close(1),
        ),
        _pours,
    ),
    "DRINK": Action(1, (needs.able("DRINKABLE", "RECIPIENT"), needs.holding)),
    "EAT": Action(1, (needs.close(), needs.eatable)),
    "CUT": Action(1, (needs.free_hand, needs.close(), needs.able("EATABLE"), needs.able("CUTTABLE"), needs.knife)),
    "READ": Action(1, (needs.able("READABLE"), needs.holding)),
    "TYPE": Action(1, (needs.close(), needs.able("HAS_SWITCH", names=("keyboard",)))),
    "TOUCH": Action(1, (needs.close(), needs.reachable)),
    "GREET": Action(1, (needs.able("PERSON"),)),
    "PUSH": _moves(push=True),
    "PULL": _moves(push=False),
    "MOVE": _moves(push=False),
    "SQUEEZE": Action(1, (needs.free_hand, needs.close(), needs.able("CLOTHES", names=tuple(sorted(_SQUEEZABLE))))),
    "WASH": _WASH,
    "RINSE": _WASH,
    "SCRUB": _WASH,
    "WIPE": Action(1, (needs.close(), needs.holding_any), _CLEAN),
    **dict(_opens()),
    **dict(_switches()),
}


def take(scene: Scene, action: str, objects: tuple[int, ...]) -> Fault | None:
    """Takes a step, where all that it needs holds; else says what does not, and changes nothing.

    Args:
        scene: what holds; it is changed.
        action: one of :data:`ACTIONS`.
        objects: ids of things in the scene, as many as the action takes.
    """
    step = Step(scene, objects)
    for need in ACTIONS[action].needs:
        if fault := need(step):
            return fault
    ACTIONS[action].effect(step)
    scene.remember()
    return None
