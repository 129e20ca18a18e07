"""A plan for people."""

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from runbooks.plan.difference import PROTECTION, Action, Difference
from runbooks.plan.model import Plan, Resource
from runbooks.plan.replacing import READ

# Of a line. The terminal wraps a longer one, where Rich would cut a resource's type and that it is protected.
WIDTH = 500
STYLES = {Action.REPLACE: "bold red", Action.DELETE: "red", Action.UPDATE: "yellow", Action.CREATE: "green"}


def show(plan: Plan) -> None:
    """Every resource below its component, and how many there are."""
    console = _console()
    children: dict[str | None, list[Resource]] = {}
    for one in plan.resources:
        children.setdefault(one.parent, []).append(one)
    for root in children.get(None, []):
        tree = Tree(_label(root, children))
        _grow(tree, root, children)
        console.print(tree)
    made = sum(one.custom and not one.read for one in plan.resources)
    components = sum(not one.custom for one in plan.resources) - 1
    protected = sum(one.protect for one in plan.resources)
    console.print(f"{made} resources in {components} components, {protected} protected")
    for invoke in plan.unresolved:
        console.print(f"only the cloud can answer: {invoke.token} {invoke.args or ''}".rstrip())


def show_differences(found: list[Difference], before: str, after: str) -> None:
    """What would change, the gravest first."""
    console = _console()
    for one in found:
        title = f"{one.action.value} {one.name} ({one.type})"
        console.print(Text(f"{title}, protected" if one.protect else title, style=STYLES[one.action]))
        for change in one.changes:
            line = f"  {change.path}: {change.before} ⇒ {change.after}"
            console.print(Text(f"{line} (replaces)" if change.replaces else line))
    tally = ", ".join(f"{sum(one.action is action for one in found)} to {action.value}" for action in Action)
    console.print(f"{before} ⇒ {after}: {tally}")
    gone = sum(one.protect and one.action in (Action.REPLACE, Action.DELETE) for one in found)
    if gone:
        console.print(f"DATA: {gone} protected would be deleted; pulumi up refuses all of this.", style="bold red")
    bare = sum((change.path, change.after) == (PROTECTION, False) for one in found for change in one.changes)
    if bare:
        console.print(f"DATA: {bare} lose their protection; nothing refuses what deletes them next.", style="bold red")
    if any(one.action is Action.UPDATE for one in found):
        console.print(f"What replaces is read from a table of {READ}; pulumi preview asks the provider itself.")


def _grow(tree: Tree, parent: Resource, children: dict[str | None, list[Resource]]) -> None:
    for one in children.get(parent.urn, []):
        _grow(tree.add(_label(one, children)), one, children)


def _label(one: Resource, children: dict[str | None, list[Resource]]) -> Text:
    label = Text.assemble((one.name, "bold"), "  ", (one.type, "dim"))
    below = _below(one, children)
    if below:
        label.append(f"  {below}", style="cyan")
    if one.protect:
        label.append("  protected", style="green")
    if one.read:
        label.append("  only read", style="dim")
    return label


def _below(one: Resource, children: dict[str | None, list[Resource]]) -> int:
    """How many resources a component has, at any depth."""
    return sum((child.custom and not child.read) + _below(child, children) for child in children.get(one.urn, []))


def _console() -> Console:
    # Without markup: names and values may have brackets of their own.
    return Console(markup=False, highlight=False, soft_wrap=True, width=WIDTH)
