"""A run as text, with source lines."""
__all__ = ["format_trace"]


def format_trace(image, steps):
    """One line per `Step` of a traced run: address, nearest label, source text, what it changed."""
    lines = (f"{step.pc:03x}  {image.label_at(step.pc):<20}  {_text(image, step.pc):<56}{_effect(step)}"
             for step in steps)
    return "".join(line.rstrip() + "\n" for line in lines)


def _text(image, address):
    line = image.source.get(address)
    return f"{line.place}: {line.text.strip()}" if line else ""


def _effect(step):
    parts = []
    if step.write:
        parts.append(f"r{step.write[0]}={step.write[1]:#x}")
    if step.store:
        parts.append(f"[{step.store[0]:#x}]={step.store[1]:#x}")
    if step.beats:
        parts.append(f"{len(step.beats)} beats")
    if step.taken is not None:
        parts.append("taken" if step.taken else "not taken")
    if step.trap is not None:
        parts.append(f"trap {step.trap:#x}")
    return "  ; " + ", ".join(parts) if parts else ""
