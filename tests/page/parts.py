"""The parts of a report's page, as a browser would find them: parts(path)["run"] is the runs' data."""
import collections, json, sys
from html.parser import HTMLParser


class Reader(HTMLParser):
    """Scripts and their texts; what would load something else is an error."""

    def __init__(self):
        super().__init__()
        self.parts, self.scripts, self.inside = collections.defaultdict(list), 0, None

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        assert tag not in ("link", "img", "iframe", "object", "embed"), tag
        assert "src" not in attributes and not any(a.startswith("on") for a in attributes), attributes
        assert not attributes.get("href", "#").startswith(("http", "//")), attributes
        if tag == "script":
            self.inside = [attributes.get("data-part"), ""]

    def handle_data(self, data):
        if self.inside:
            self.inside[1] += data

    def handle_endtag(self, tag):
        if tag == "script":
            name, text = self.inside
            self.inside = None
            if name:
                self.parts[name].append(json.loads(text))
            else:
                self.scripts += 1


def parts(path):
    reader = Reader()
    reader.feed(open(path, encoding="utf-8").read())
    reader.close()
    assert reader.scripts == 7, f"{reader.scripts} scripts of the program, not 7"
    return reader.parts


if __name__ == "__main__":
    print(json.dumps(parts(sys.argv[1]))[:2000])
