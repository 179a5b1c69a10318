"""What rusty-haystack makes of what it is asked on stdin, one JSON object a line."""
import json
import sys
import rusty_haystack as rh

for line in sys.stdin:
    ask = json.loads(line)
    try:
        if "grid" in ask:
            grid = rh.decode_grid(ask["from"], ask["grid"])
            answer = {kind: rh.encode_grid(kind, grid) for kind in ask["to"]}
        else:
            grid = rh.decode_grid("text/zinc", ask["records"])
            answer = {}
            for text in ask["filters"]:
                try:
                    answer[text] = [rh.matches_filter(text, row) for row in grid.rows()]
                except rh.FilterError as error:
                    answer[text] = str(error)
    except rh.CodecError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
