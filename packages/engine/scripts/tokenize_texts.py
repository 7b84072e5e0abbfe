"""Python's own answer to what packages/engine/src/tokenizer.ts computes.

Reads {"texts": [...], "chats": [[{"role", "content"}, ...], ...], "sequences": [[id, ...], ...]} as JSON from stdin and
writes {"text_ids", "chat_ids", "decoded", "decoded_plain"} as JSON to stdout: ids of every text without special tokens
added, ids of every chat with the assistant's turn opened, and the text of every sequence of ids with and without
special tokens.

Usage: python tokenize_texts.py MODEL_DIRECTORY < input.json > output.json
"""

import json
import sys

from transformers import AutoTokenizer


def main() -> None:
    request = json.load(sys.stdin)
    tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
    json.dump(
        {
            "text_ids": [tokenizer.encode(text, add_special_tokens=False) for text in request["texts"]],
            "chat_ids": [
                list(
                    tokenizer.apply_chat_template(
                        chat, tokenize=True, add_generation_prompt=True, return_dict=False
                    )
                )
                for chat in request["chats"]
            ],
            "decoded": [tokenizer.decode(ids, skip_special_tokens=False) for ids in request["sequences"]],
            "decoded_plain": [
                tokenizer.decode(ids, skip_special_tokens=True) for ids in request["sequences"]
            ],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
