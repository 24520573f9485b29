"""Typical mistakes in assignment 4, each of which should cost its own part and no other."""

from functools import partial

from course.mistakes import Mistake, changed, mistake_in, right_answers

mistake = partial(mistake_in, 4)
RIGHT = right_answers(4)


# ---- the right answers, of which each mistake changes something ----------------------------------

GRID = """
    def grid_of(space, patch, stride, jitter, most):
        if min(space) - jitter < patch:
            raise InputError("no patch fits")
        return tuple(min(most, (edge - jitter - patch) // stride + 1) for edge in space)
"""
PYRAMID = RIGHT["pyramid"]
TARGET = RIGHT["target_of"]
CLEAR = RIGHT["first_clear"]
ENCODE = RIGHT["encode_once"]
READ = RIGHT["latents_at"]
MASKED = RIGHT["MaskedConv"]
OTHERS = RIGHT["counter_examples"]
LOSS = RIGHT["info_nce"]
CPC = RIGHT["MyCPC"]
INFORMATION = RIGHT["information"]
SCANS = RIGHT["scans_needed"]


def layout(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 1, GRID, changed(PYRAMID, *changes), TARGET, CLEAR)


def masked(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 3, changed(MASKED, *changes))


def loss(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 4, OTHERS, changed(LOSS, *changes))


def task(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 5, changed(CPC, *changes), INFORMATION, SCANS)


MISTAKES = [
    # ---- 1: the pyramid
    mistake("no jitter left free", 1, changed(GRID, (" - jitter", "")), PYRAMID, TARGET, CLEAR),
    mistake(
        "one patch too few",
        1,
        changed(GRID, (" // stride + 1", " // stride")),
        PYRAMID,
        TARGET,
        CLEAR,
    ),
    mistake(
        "a large scan gets a large grid",
        1,
        changed(
            GRID,
            (
                "min(most, (edge - jitter - patch) // stride + 1)",
                "(edge - jitter - patch) // stride + 1",
            ),
        ),
        PYRAMID,
        TARGET,
        CLEAR,
    ),
    layout(
        "a pyramid on its foot",
        ("aside <= before <= rows", "0 <= before <= rows and aside <= rows - before"),
    ),
    layout(
        "neighbours in the patch's own row",
        ("aside <= before <= rows", "0 <= before <= rows and aside <= max(1, before)"),
    ),
    layout("the patch itself is left out", ("aside <= before", "0 < before and aside <= before")),
    layout("a diamond, not a square, across", ("aside = max(", "aside = sum(")),
    layout(
        "the context looks ahead, at its target",
        ("(1 if backwards else -1)", "(-1 if backwards else 1)"),
    ),
    layout(
        "the first axis taken for the fastest",
        ("product(*map(range, grid))", "(c[::-1] for c in product(*map(range, grid[::-1])))"),
    ),
    mistake(
        "a target past the end, from the far side of the grid",
        1,
        GRID,
        PYRAMID,
        changed(TARGET, ("return None", "ahead[axis] %= grid[axis]")),
        CLEAR,
    ),
    mistake(
        "a target that is always forwards",
        1,
        GRID,
        PYRAMID,
        changed(TARGET, ("-step if backwards else step", "step")),
        CLEAR,
    ),
    mistake(
        "a target that overlaps its context",
        1,
        GRID,
        PYRAMID,
        TARGET,
        changed(CLEAR, ("ceil(patch / stride)", "patch // stride")),
    ),
    mistake(
        "a target that may not touch its context",
        1,
        GRID,
        PYRAMID,
        TARGET,
        changed(CLEAR, ("ceil(patch / stride)", "patch // stride + 1")),
    ),
    mistake(
        "a target one row too far",
        1,
        GRID,
        PYRAMID,
        TARGET,
        changed(CLEAR, ("ceil(patch / stride)", "ceil(patch / stride) + 1")),
    ),
    # ---- 2: encode once
    mistake(
        "the encoder is called for each patch",
        2,
        """
        def encode_once(encoder, embed, views, grid):
            latents = [embed(pooled(encoder(views[:, v]))) for v in range(views.shape[1])]
            return torch.stack(latents, -1).unflatten(-1, grid)
        """,
        READ,
    ),
    mistake(
        "the encoder is called for each scan",
        2,
        """
        def encode_once(encoder, embed, views, grid):
            latents = torch.stack([embed(pooled(encoder(scan))) for scan in views])
            return latents.unflatten(1, grid).movedim(-1, 1)
        """,
        READ,
    ),
    mistake(
        "the code viewed as the second axis, not moved there",
        2,
        changed(
            ENCODE, ("view(len(views), *grid, -1).movedim(-1, 1)", "reshape(len(views), -1, *grid)")
        ),
        READ,
    ),
    mistake(
        "scans and patches crossed",
        2,
        changed(ENCODE, ("views.flatten(0, 1)", "views.transpose(0, 1).flatten(0, 1)")),
        READ,
    ),
    mistake(
        "the first axis of the grid taken for the fastest",
        2,
        changed(
            ENCODE,
            (
                "*grid, -1).movedim(-1, 1)",
                "*grid[::-1], -1).permute(0, -1, *range(len(grid), 0, -1))",
            ),
        ),
        READ,
    ),
    mistake(
        "no gradient to the encoder",
        2,
        changed(
            ENCODE,
            (
                "pooled(encoder(views.flatten(0, 1)))",
                "pooled(encoder(views.flatten(0, 1))).detach()",
            ),
        ),
        READ,
    ),
    mistake(
        "embed is forgotten",
        2,
        changed(
            ENCODE,
            (
                "embed(pooled(encoder(views.flatten(0, 1))))",
                "pooled(encoder(views.flatten(0, 1)))",
            ),
        ),
        READ,
    ),
    mistake("3D only", 2, changed(ENCODE, ("movedim(-1, 1)", "permute(0, 4, 1, 2, 3)")), READ),
    mistake(
        "normalised in place before it is encoded",
        2,
        changed(ENCODE, ("    latents =", "    views -= views.mean()\n        latents =")),
        READ,
    ),
    mistake("numbers looked up among the codes", 2, ENCODE, changed(READ, (".movedim(1, 2)", ""))),
    mistake(
        "a list of numbers only",
        2,
        ENCODE,
        changed(READ, ("[:, numbers]", ".index_select(1, numbers.flatten())")),
    ),
    # ---- 3: the mask
    masked("no mask", (" * self.mask", "")),
    masked("the mask the wrong way up", ("mask[0] = 1", "mask[-1] = 1")),
    masked("neighbours in the own row are seen", ("mask[(1,) * dims] = 1", "mask[1] = 1")),
    masked("the own place is masked out", ("mask[(1,) * dims] = 1", "pass")),
    masked("rows along the last axis", ("mask[0] = 1", "mask[..., 0] = 1")),
    masked(
        "all that comes first in raster order",
        ("mask[(1,) * dims] = 1", "mask.view(-1)[: 3**dims // 2 + 1] = 1"),
    ),
    masked(
        "masked once, when it is made",
        ('self.register_buffer("mask", mask, persistent=False)', "self.conv.weight.data *= mask"),
        (" * self.mask", ""),
    ),
    masked(
        "a mask that is learnt",
        ('self.register_buffer("mask", mask, persistent=False)', "self.mask = nn.Parameter(mask)"),
    ),
    masked(
        "a mask that stays on the CPU",
        ('self.register_buffer("mask", mask, persistent=False)', "self.mask = mask"),
    ),
    masked("no shortcut round the convolution", ("field + F.relu(seen)", "F.relu(seen)")),
    masked("no ReLU", ("F.relu(seen)", "seen")),
    masked("the ReLU over the sum", ("field + F.relu(seen)", "F.relu(field + seen)")),
    masked(
        "added into the field",
        ("return field + F.relu(seen)", "field.data += F.relu(seen)\n            return field"),
    ),
    masked(
        "the border repeated, not zero",
        (
            "convolve(field, self.conv.weight * self.mask, self.conv.bias, padding=1)",
            'convolve(F.pad(field, (1, 1) * (field.ndim - 2), mode="replicate"), '
            "self.conv.weight * self.mask, self.conv.bias)",
        ),
    ),
    masked(
        "2D only",
        ("CONV[dims]", "CONV[2]"),
        ("(3,) * dims", "(3,) * 2"),
        ("(1,) * dims", "(1,) * 2"),
    ),
    # ---- 4: InfoNCE
    mistake(
        "the right answer among the counter-examples",
        4,
        changed(OTHERS, ("chosen & (latent != answer)", "chosen")),
        LOSS,
    ),
    mistake(
        "scan by the remainder",
        4,
        changed(
            OTHERS, ("latent // patches == answer // patches", "latent % scans == answer % scans")
        ),
        LOSS,
    ),
    mistake(
        "same and other scans changed over",
        4,
        changed(
            OTHERS,
            ('"same scan": same, "other scans": ~same', '"same scan": ~same, "other scans": same'),
        ),
        LOSS,
    ),
    mistake(
        "other scans at the same place alone",
        4,
        changed(
            OTHERS, ('"other scans": ~same', '"other scans": latent % patches == answer % patches')
        ),
        LOSS,
    ),
    loss(
        "the right answer counted twice",
        ("~others", "~(others | torch.eye(cosines.shape[1], dtype=torch.bool)[right])"),
    ),
    loss("the right answer missing below", ("torch.cat([answer, wrong], 1)", "wrong")),
    loss(
        "all latents, whatever is allowed",
        ("masked_fill(~others, -torch.inf)", "scatter(1, right[:, None], -torch.inf)"),
    ),
    loss(
        "softmax over the predictions",
        (
            "(torch.cat([answer, wrong], 1).logsumexp(1) - answer[:, 0])",
            "-logits.log_softmax(0).gather(1, right[:, None])",
        ),
    ),
    loss("summed, not averaged", (".mean()", ".sum()")),
    loss("no temperature", ("cosines / temperature", "cosines")),
    loss("times the temperature", ("cosines / temperature", "cosines * temperature")),
    loss(
        "exp overflows",
        (
            "(torch.cat([answer, wrong], 1).logsumexp(1) - answer[:, 0])",
            "-torch.log(answer[:, 0].exp() / torch.cat([answer, wrong], 1).exp().sum(1))",
        ),
    ),
    loss(
        "the largest of the whole batch taken out",
        (
            "(torch.cat([answer, wrong], 1).logsumexp(1) - answer[:, 0])",
            "((torch.cat([answer, wrong], 1) - logits.max()).exp().sum(1).log() "
            "- answer[:, 0] + logits.max())",
        ),
    ),
    loss("the left-out set to 0, not to minus infinity", ("-torch.inf", "0.0")),
    loss(
        "written into the cosines",
        (
            "logits.masked_fill(~others, -torch.inf)",
            "cosines.data.masked_fill_(~others, -torch.inf) / temperature",
        ),
    ),
    loss(
        "no gradient from the counter-examples",
        ("logits.masked_fill", "logits.detach().masked_fill"),
    ),
    loss("logarithm to base 2", (".mean()", ".mean() / log(2)")),
    loss(
        "one binary loss on an averaged score",
        (
            "(torch.cat([answer, wrong], 1).logsumexp(1) - answer[:, 0]).mean()",
            "F.softplus(-answer).mean() + F.softplus(logits[others]).mean()",
        ),
    ),
    # ---- 5: the task
    task("one row short of what is asked", ("rows[:, :, step:]", "rows[:, :, step - 1 : -1]")),
    task("each place is its own target", ("rows[:, :, step:]", "rows[:, :, :-step]")),
    task(
        "targets that are always forwards",
        ("along(number, direction)", "along(number, (direction[0], False))"),
    ),
    task(
        "latents of one scan for all",
        (
            "torch.arange(scans * grid_corners(grid, 1).shape[0]).view(scans, 1, *grid)",
            "torch.arange(grid_corners(grid, 1).shape[0]).view(1, 1, *grid)"
            ".repeat(scans, *[1] * (self.dims + 1))",
        ),
    ),
    task(
        "the answer's place in the turned grid",
        ("field.flatten(2)", "along(field, place.direction).flatten(2)"),
    ),
    task(
        "targets round the end of the grid",
        ("rows[:, :, step:]", "rows.roll(-step, 2)"),
        ("context[:, :, :-step]", "context"),
        ("if step < context.shape[2]", ""),
    ),
    task("one W for all steps", ("linear(context", "self.predict[0](context")),
    task("the W of another step", ("zip(self.predict, self", "zip(self.predict[::-1], self")),
    task(
        "no context, the latent itself",
        (
            "self.context(self.turned(field, place.direction))",
            "self.turned(field, place.direction)",
        ),
    ),
    task(
        "the direction is not told",
        ("self.turned(field, place.direction)", "along(field, place.direction)"),
    ),
    task(
        "codes of several places mixed",
        (".movedim(1, -1).flatten(0, -2)", ".reshape(-1, field.shape[1])"),
    ),
    task("no temperature", (" / self.settings.temperature", "")),
    task(
        "not normalised",
        ("cosines(torch.cat(predictions), latents)", "torch.cat(predictions) @ latents.T"),
    ),
    task(
        "targets without a gradient",
        (
            "cosines(torch.cat(predictions), latents)",
            "cosines(torch.cat(predictions), latents.detach())",
        ),
    ),
    task(
        "encoded again for the targets",
        ("latents = field", "latents = encode_once(encoder, self.embed, batch.views, place.grid)"),
    ),
    task("a grid too short for a step fails", ("if step < context.shape[2]", "")),
    task(
        "the first step alone",
        (
            "zip(self.predict, self.settings.prediction_steps)",
            "zip(self.predict, self.settings.prediction_steps[:1])",
        ),
        (
            "for step in self.settings.prediction_steps]",
            "for step in self.settings.prediction_steps[:1]]",
        ),
    ),
    task("steps two and three, whatever is asked", ("self.settings.prediction_steps", "(2, 3)")),
    task(
        "the targets' order is another",
        (
            "for step in self.settings.prediction_steps]",
            "for step in self.settings.prediction_steps[::-1]]",
        ),
    ),
    task("3D only", ("movedim(1, -1).flatten(0, -2)", "permute(0, 2, 3, 4, 1).flatten(0, 3)")),
    mistake(
        "a bound below 0",
        5,
        CPC,
        changed(INFORMATION, ("max(0.0, log(choices) - loss)", "log(choices) - loss")),
        SCANS,
    ),
    mistake(
        "a bound in bits",
        5,
        CPC,
        changed(INFORMATION, ("log(choices) - loss", "(log(choices) - loss) / log(2)")),
        SCANS,
    ),
    mistake("one scan too many", 5, CPC, INFORMATION, changed(SCANS, ("< nats - 1e-9", "<= nats"))),
    mistake(
        "scans counted as latents",
        5,
        CPC,
        INFORMATION,
        changed(SCANS, ("log(scans * patches)", "log(scans)")),
    ),
]
