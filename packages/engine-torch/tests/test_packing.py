"""Rows hold each prefix once; blocks see exactly the ancestors."""

from __future__ import annotations

import random

from memory_r1_engine.packing import (
    AttentionBlock,
    PackedRow,
    count_common_prefix,
    merge_spans,
    pack_sequences,
    plan_attention,
)


def list_visible(row: PackedRow, node: int) -> list[int]:
    """What a node sees by the subtree rule."""
    return [key for key in range(node + 1) if node < row.subtree_ends[key]]


def test_a_group_shares_its_prompt() -> None:
    prompt = [5, 6, 7]
    (row,) = pack_sequences([[*prompt, 9, 8], [*prompt, 4], [*prompt, 9, 1, 2]], 100)
    # By hand, in depth-first order of sorted tokens: 5 6 7 | 4 | 9 -> (1 2 | 8).
    assert row.tokens == [5, 6, 7, 4, 9, 1, 2, 8]
    assert row.positions == [0, 1, 2, 3, 3, 4, 5, 4]
    assert row.subtree_ends == [8, 8, 8, 4, 8, 7, 7, 8]
    nodes = {member.index: member.nodes for member in row.members}
    assert nodes == {0: [0, 1, 2, 4, 7], 1: [0, 1, 2, 3], 2: [0, 1, 2, 4, 5, 6]}


def test_every_sequence_is_its_own_chain_of_ancestors() -> None:
    generator = random.Random(3)
    sequences = [
        [generator.randrange(3) for _ in range(generator.randrange(1, 9))] for _ in range(60)
    ]
    rows = pack_sequences(sequences, 40)
    seen = []
    for row in rows:
        assert len(row.tokens) <= 40
        for member in row.members:
            seen.append(member.index)
            sequence = sequences[member.index]
            assert [row.tokens[node] for node in member.nodes] == sequence
            assert [row.positions[node] for node in member.nodes] == list(range(len(sequence)))
            assert list_visible(row, member.nodes[-1]) == member.nodes
    assert sorted(seen) == list(range(60))
    assert sum(len(row.tokens) for row in rows) < sum(len(sequence) for sequence in sequences)


def test_duplicates_and_prefixes_add_nothing() -> None:
    (row,) = pack_sequences([[1, 2, 3], [1, 2], [1, 2, 3], [1]], 100)
    assert row.tokens == [1, 2, 3]
    assert sorted(member.index for member in row.members) == [0, 1, 2, 3]


def test_over_budget_repeats_the_prompt() -> None:
    prompt = list(range(10))
    sequences = [[*prompt, 20 + index, 30, 31] for index in range(4)]
    rows = pack_sequences(sequences, 16)
    assert [len(row.tokens) for row in rows] == [16, 16]
    # A sequence longer than the budget still runs, alone.
    assert [len(row.tokens) for row in pack_sequences([list(range(50)), [60]], 16)] == [50, 1]


def test_unrelated_prompts_part_once_a_row_is_large() -> None:
    sequences = [[1, 1, 1], [2, 2, 2], [3, 3, 3]]
    assert len(pack_sequences(sequences, 100)) == 1
    assert [len(row.tokens) for row in pack_sequences(sequences, 100, target_tokens=5)] == [6, 3]


def test_a_short_common_start_does_not_hold_rows_together() -> None:
    # Two shared tokens: 2 * 16 <= 32 closes a row of 32, not one of 31.
    first = [0, 1, *range(100, 130)]
    assert len(pack_sequences([first, [0, 1, 200]], 100, target_tokens=30)) == 2
    assert len(pack_sequences([first[:-1], [0, 1, 200]], 100, target_tokens=30)) == 1


def test_separate_rows() -> None:
    rows = pack_sequences([[1, 2], [1, 2], [1]], 100, share=False)
    assert [row.tokens for row in rows] == [[1], [1, 2], [1, 2]]


def test_nothing_to_pack() -> None:
    assert pack_sequences([], 10) == []
    assert count_common_prefix([], [1]) == 0


def test_merge_spans() -> None:
    assert merge_spans([(0, 2), (2, 5), (7, 8)]) == ((0, 5), (7, 8))


def test_blocks_follow_the_tree_by_hand() -> None:
    # A trunk of 5, then branches of 2, 2 and 1, cut at 4 queries.
    (row,) = pack_sequences([[0, 1, 2, 3, 4, *tail] for tail in ([5, 5], [6, 6], [7])], 100)
    assert plan_attention(row.subtree_ends, 4) == [
        AttentionBlock(0, 4, ()),
        AttentionBlock(4, 5, ((0, 4),)),
        AttentionBlock(5, 9, ((0, 5),)),
        AttentionBlock(9, 10, ((0, 5),)),
    ]


def test_blocks_show_each_node_its_ancestors_only() -> None:
    generator = random.Random(5)
    sequences = [
        [generator.randrange(2) for _ in range(generator.randrange(1, 14))] for _ in range(40)
    ]
    (row,) = pack_sequences(sequences, 10_000)
    for limit in (1, 3, 8, 10_000):
        blocks = plan_attention(row.subtree_ends, limit)
        covered = []
        for block in blocks:
            assert block.stop - block.start <= limit
            for node in range(block.start, block.stop):
                covered.append(node)
                above = [key for start, stop in block.ancestors for key in range(start, stop)]
                own = [key for key in range(block.start, node + 1) if node < row.subtree_ends[key]]
                assert above + own == list_visible(row, node)
        assert covered == list(range(len(row.tokens)))
