"""AI PERSONA: a typed dictionary of the user, learned from sessions."""

from evenhand.personalizers.persona.memory import PersonaMemory

__all__ = ["PersonaMemory"]
