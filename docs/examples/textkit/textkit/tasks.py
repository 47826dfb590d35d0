"""The types of this package; importing this module registers them."""

import asyncio
from collections import Counter
from typing import Annotated

from msgspec import Meta

from tiercel.errors import TaskFailed
from tiercel.plugins.base import DYNAMIC, RunContext, RunnableTask
from tiercel.plugins.function import BlockingContext, task
from tiercel.plugins.registry import register


@task("company.textkit.Greet")
async def greet(name: Annotated[str, Meta(description="Who is greeted.")], times: int = 1, pause_s: float = 0.0) -> str:
    """Greet somebody."""
    for _ in range(1, times):
        await asyncio.sleep(pause_s)
    return " ".join([f"Hello {name}!"] * times)


@task("company.textkit.CountWords")
def count_words(context: BlockingContext, source: str, least: int = 1) -> dict[str, object]:
    """Count the words of a stored file, and store the table."""
    text = context.fetch(source).read_text()
    counts = {word: count for word, count in Counter(text.split()).most_common() if count >= least}
    context.log("INFO", f"{len(counts)} words occur {least} times or more")
    context.gauge("words", len(counts))
    table = "".join(f"{word},{count}\n" for word, count in counts.items())
    return {"words": len(counts), "uri": context.store("words.csv", table.encode())}


@register("company.textkit.Shout")
class Shout(RunnableTask, frozen=True, kw_only=True):
    """
    Write a text in capital letters.

    Example:
        id: loud
        type: company.textkit.Shout
        text: "{{ inputs.text }}"
    """

    text: Annotated[str, DYNAMIC]
    """The text."""
    marks: Annotated[int | str, DYNAMIC] = 1
    """How many exclamation marks follow."""

    async def run(self, context: RunContext) -> dict[str, str]:
        """Render the properties, and return the text."""
        text = await context.render(self.text)
        if not text.strip():
            raise TaskFailed("There is nothing to shout; 'text' is empty.")
        return {"text": text.upper() + "!" * await context.render(self.marks, int)}
