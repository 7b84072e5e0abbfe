"""Python's own answer to what packages/engine/src/tokenizer.ts computes (run by tokenizer.test.ts).

Reads {"models": [folder, ...], "texts": [...], "chats": [[{"role", "content"}, ...], ...], "sequences": [[id, ...], ...]}
as JSON from standard input and writes one object per model: ids of every text without special tokens added, ids of
every chat with the assistant's turn opened (by the engine's `encode_chat`, and by transformers alone), and the text of every sequence of ids with and without special tokens.

Usage: python tokenize_texts.py < request.json > answers.json
"""

import json
import sys
from pathlib import Path

from transformers import AutoTokenizer

sys.path.insert(0, str(Path(__file__).parents[2] / "engine-torch" / "src"))

from memory_r1_engine.chat import encode_chat  # noqa: E402


def answer(folder: str, request: dict) -> dict:
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return {
        "textIds": [tokenizer.encode(text, add_special_tokens=False) for text in request["texts"]],
        "chatIds": [encode_chat(tokenizer, chat) for chat in request["chats"]],
        "plainChatIds": [
            list(tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False))
            for chat in request["chats"]
        ],
        "decoded": [tokenizer.decode(ids) for ids in request["sequences"]],
        "decodedPlain": [
            tokenizer.decode(ids, skip_special_tokens=True) for ids in request["sequences"]
        ],
    }


def main() -> None:
    request = json.load(sys.stdin)
    json.dump([answer(folder, request) for folder in request["models"]], sys.stdout)


if __name__ == "__main__":
    main()
