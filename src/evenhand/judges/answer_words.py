"""What models call their answer, by language, and how they announce a further question."""

from __future__ import annotations

import re

# Nouns that stand before "is" or a colon; longer ones first where one begins another.
NOUNS = (
    r"answer|choice|option|solution|selected|selection|pick|conclusion|verdict|right one|correct one"
    r"|antwort|lösung|réponse|reponse|choix|respuesta|opción|solución|risposta|scelta|opzione|resposta|opção|alternativa"
    r"|antwoord|keuze|odpowiedź|odpowiedzią|ответ|вариант|cevap|cevabı|yanıt|seçenek|đáp án|câu trả lời|svar|svaret"
    r"|答案|选择|選擇|选项|答え|正解|回答|解答|정답은|정답|답은|답|الإجابة الصحيحة|الإجابة|الجواب|सही उत्तर|उत्तर|जवाब"
)
ADJECTIVES = (
    r"correcte|correcta|corretta|correta|correct|juste|exacte|bonne|richtige|richtig|esatta|giusta|certa|juist"
    r"|poprawna|prawidłowa|правильный|doğru|đúng|finale|final|الصحيحة|सही"
)
# These need no verb before the answer.
VERBLESS = (
    r"cevap|cevabı|yanıt|उत्तर|जवाब|정답은|정답|답은"
    r"|答案[选選]?|[我应該该故][选選]|选择|選擇|答えは|richtig ist|final|chosen"
)
LETTER = (
    r"(?:(?:the|an?|die|der|la|le|el|il|o|de)\s|l['’])?(?:(?:options?|answers?|choices?|letters?|letra|lettre|lettera"
    r"|opción|opção|opzione|buchstabe|antwort|réponse|alternativa|optie|вариант|буква|seçenek|şıkkı|选项|選項)\s)?"
    r"(?:(?:la|die|el|il)\s)?"
)
IS = r"is|be|ist|lautet|est|es|è|é|to|jest|là|är|er|应该是|應該是|是|为|為|は|هي|هو|है|[:：=→–—-]|->|=>"

_QUESTIONS = (
    r"next question|question|problem|exercise|user|human|q|frage|pregunta|domanda|pergunta|вопрос|问题|問題|질문"
)
_NEXT = re.compile(rf"\n[ \t]{{0,8}}[*_#]{{0,4}} ?(?:{_QUESTIONS}) ?#?\d{{0,3}} ?[*_]{{0,2}}[:.：)]", re.IGNORECASE)


def before_next_question(text: str) -> str:
    """``text`` up to the first question that a model goes on to ask itself once it has written something."""
    found = next((f for f in _NEXT.finditer(text) if text[: f.start()].strip()), None)
    return text if found is None else text[: found.start()]
