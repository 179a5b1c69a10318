"""A server that answers badly, in the way that its path says: bad.py. Prints its port.

`/WAY/read` answers in that way. `/watch-WAY/…` lets its records be watched, and answers polls in that way; after the first reading,
`/lost-WAY/…` answers readings so, too."""
import http.server

ROWS = 'ver:"3.0"\nid,dis\n' + "".join(f'@s{number},"x"\n' for number in range(50))
MANY = 'ver:"3.0"\nid,dis\n' + "".join(f'@s{number},"{number}{"x" * 200}"\n' for number in range(5000))
ANSWERS = {
    "whole": ROWS,
    "many": MANY,
    "manycut": MANY,
    "manytwice": MANY + '@s1,"y"\n',
    "err": 'ver:"3.0" err dis:"no such filter"\nempty\n',
    "incomplete": ROWS.replace('"3.0"', '"3.0" incomplete:"too much"'),
    "half": ROWS[:300],
    "kinds": ROWS.replace('@s7', '"s7"'),
    "twice": ROWS + '@s1,"y"\n',
    "nothing": "",
    "html": "<html>welcome</html>",
    "large": ROWS + '@big,"' + "x" * (20 << 20) + '"\n',
    "ten": 'ver:"3.0"\nid,dis\n@s1,"' + "x" * (10 << 20) + '"\n',
    "foreign": 'ver:"3.0"\nid,dis\n@other,"x"\n',
    "nulls": 'ver:"3.0"\nid,dis\n,\n,\n',
    "news": 'ver:"3.0"\nid,dis\n@s3,"new"\n',
    "quiet": 'ver:"3.0"\nempty\n',
}
seen = set()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        _, place, operation = self.path.split("/")
        kind, _, way = place.partition("-")
        if not way:
            kind, way = "read", place
        if kind != "read" and (operation != "watchPoll" and not (kind == "lost" and operation == "read" and place in seen)):
            way = "sub" if operation == "watchSub" else "whole"
        if operation == "read":
            seen.add(place)
        self.send_response(500 if way == "status" else 200)
        body = (ROWS.replace('"3.0"', '"3.0" watchId:"w-1" lease:1min') if way == "sub" else ANSWERS.get(way, ROWS)).encode()
        # What is promised and does not come: cut between two rows, so that what is there looks whole.
        self.send_header("Content-Length", str(len(body) + (100 if way.endswith("cut") else 0)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
