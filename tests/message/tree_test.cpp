#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>

#include "base/strings.h"
#include "message/header.h"
#include "message/imap_text.h"
#include "message/search_text.h"
#include "message/tree.h"
#include "tests/message/vectors.h"

using namespace mail;
using namespace mail::message;

namespace {

/// Every extent lies within its parent's, parts do not overlap, and counts are those of the octets.
void check_consistent(const Tree& tree) {
  const auto text = tree.text();
  bool good = true;
  for (const auto& part : tree.parts()) {
    for (const auto& extent : {part.header, part.body}) {
      good = good && extent.begin <= extent.end && extent.end <= text.size();
      const auto octets = text.substr(extent.begin, extent.octets());
      good = good && extent.lines == static_cast<std::size_t>(std::ranges::count(octets, '\n'));
      std::size_t bare = 0;
      for (std::size_t i = extent.begin; i < extent.end; ++i)
        bare += text[i] == '\n' && (i == 0 || text[i - 1] != '\r') ? 1 : 0;
      good = good && bare == extent.bare_lf;
    }
    good = good && part.header.end == part.body.begin && !part.type.empty() && !part.subtype.empty();
    if (part.parent != kNoPart) {
      const auto& parent = tree[part.parent];
      good = good && part.header.begin >= parent.body.begin && part.body.end <= parent.body.end;
    }
    if (part.parent == kNoPart || tree[part.parent].kind == Part::Kind::multipart)
      good = good && tree.find(tree.number(part)) == &part;
    if (part.next_sibling != kNoPart) good = good && tree[part.next_sibling].header.begin >= part.body.end;
  }
  CHECK(good);
}

/// Parentheses balance outside of strings and literals: what a client's parser needs.
bool is_balanced(std::string_view text) {
  int depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') {
      for (++i; i < text.size() && text[i] != '"'; ++i)
        if (text[i] == '\\') ++i;
      if (i >= text.size()) return false;
    } else if (text[i] == '{') {
      const auto end = text.find("}\r\n", i);
      if (end == std::string_view::npos) return false;
      const auto octets = parse_decimal<std::size_t>(text.substr(i + 1, end - i - 1));
      if (!octets || end + 3 + *octets > text.size()) return false;
      i = end + 2 + *octets;
    } else if (text[i] == '(') {
      ++depth;
    } else if (text[i] == ')' && --depth < 0) {
      return false;
    } else if (text[i] == '\r' || text[i] == '\n') {
      return false;
    }
  }
  return depth == 0;
}

std::string to_crlf(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) out += '\r';
    out += text[i];
  }
  return out;
}

}  // namespace

TEST_CASE("golden trees") {
  const auto folder = std::filesystem::path(RELAIS_SOURCE_DIR) / "tests/message/golden";
  for (const auto& path : test::files_below(folder)) {
    if (path.extension() != ".eml") continue;
    INFO(path.filename().string());
    const auto text = test::read_path(path);
    const auto tree = parse(text);
    check_consistent(tree);
    const auto found =
        concat({to_string(tree), "ENVELOPE ", imap_envelope(tree), "\nBODYSTRUCTURE ", imap_bodystructure(tree), "\n"});
    auto expected = path;
    expected.replace_extension(".tree");
    if (test::update_golden()) std::ofstream(expected, std::ios::binary) << found;
    CHECK(found == test::read_path(expected));
  }
}

TEST_CASE("every message of the vectors gives a consistent tree, the same for LF and CRLF") {
  for (const std::string kind : {"mime", "bounces", "arf", "threading", "dkim"}) {
    for (const auto& path : test::files_below(test::vectors(kind))) {
      const auto text = test::read_path(path);
      if (text.size() > 1'000'000) continue;
      INFO(path.string());
      const auto tree = parse(text);
      check_consistent(tree);
      CHECK(is_balanced(imap_envelope(tree)));
      CHECK(is_balanced(imap_bodystructure(tree)));
      CHECK(is_balanced(imap_body(tree)));
      const auto crlf = to_crlf(text);
      const auto other = parse(crlf);
      CHECK(tree.crlf_octets() == crlf.size());
      CHECK(imap_bodystructure(other) == imap_bodystructure(tree));
      CHECK(imap_envelope(other) == imap_envelope(tree));
      for (const auto& whole : {text, crlf, text.substr(0, tree.root().header.end)}) {
        MessageFields fields;
        std::string envelope;
        (void)find_message_fields(whole, fields);
        append_imap_envelope(envelope, fields, whole);
        CHECK(envelope == imap_envelope(tree));
      }
      std::string search;
      append_body_search_text(search, tree);
      append_header_search_text(search, tree.header(tree.root()));
      CHECK(is_utf8(search));
      CHECK(is_utf8(preview(tree)));
    }
  }
}

// The events of mime4j's parser: nested <message>, <multipart>, <body-part>, <body>. Where theirs and ours differ on
// purpose is said below.
TEST_CASE("the structure is that of mime4j's expectations") {
  const auto folder = test::vectors("mime");
  if (folder.empty()) return;
  std::size_t compared = 0, equal = 0;
  std::string different;
  for (const auto& path : test::files_below(folder)) {
    if (path.extension() != ".msg") continue;
    auto xml_path = path;
    xml_path.replace_extension(".xml");
    if (!std::filesystem::exists(xml_path)) continue;
    const auto xml = test::read_path(xml_path), text = test::read_path(path);
    const auto count = [&](std::string_view word) {
      std::size_t found = 0;
      for (auto at = xml.find(word); at != std::string::npos; at = xml.find(word, at + 1)) ++found;
      return found;
    };
    const auto tree = parse(text);
    std::size_t multiparts = 0, leaves = 0;
    for (const auto& part : tree.parts()) {
      multiparts += part.kind == Part::Kind::multipart && part.children > 0 ? 1 : 0;
      leaves += part.kind == Part::Kind::leaf ? 1 : 0;
    }
    ++compared;
    if (multiparts == count("<multipart>") && leaves == count("<body>")) {
      ++equal;
    } else {
      different +=
          concat({path.filename().string(), " multiparts ", decimal(multiparts), "/", decimal(count("<multipart>")),
                  " leaves ", decimal(leaves), "/", decimal(count("<body>")), "\n"});
    }
  }
  INFO(different);
  // Not equal on purpose: a multipart whose boundary never comes holds no multipart for us, and a boundary may be
  // longer than mime4j's lines.
  CHECK(compared >= 30);
  CHECK(equal + 5 >= compared);
}

TEST_CASE("IMAP part numbers") {
  const auto text = test::read_fixture("message/golden/nested.eml");
  const auto tree = parse(text);
  CHECK(tree.find("") == &tree.root());
  REQUIRE(tree.find("1") != nullptr);
  CHECK(tree.find("0") == nullptr);
  CHECK(tree.find("99") == nullptr);
  CHECK(tree.find("1.") == nullptr);
  CHECK(tree.find("x") == nullptr);
  const std::string simple = "Subject: a\n\nbody\n";
  const auto leaf = parse(simple);
  CHECK(leaf.find("1") == &leaf.root());
  CHECK(leaf.find("1.1") == nullptr);
  CHECK(leaf.find("2") == nullptr);
}

namespace {
template <class Make>
double seconds_for(Make&& make, std::size_t size) {
  const std::string text = make(size);
  const auto begin = std::chrono::steady_clock::now();
  const auto tree = parse(text);
  CHECK(tree.parts().size() <= kMaximumParts + 1);
  CHECK(tree.oddities().size() <= kMaximumOddities);
  CHECK(is_balanced(imap_bodystructure(tree)));
  CHECK(is_balanced(imap_envelope(tree)));
  std::string search;
  append_body_search_text(search, tree);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::string repeated(std::string_view text, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += text;
  return out;
}
}  // namespace

TEST_CASE("hostile messages cost linear time and bounded memory") {
  const auto nested = [](std::size_t n) {
    std::string out;
    for (std::size_t i = 0; i < n; ++i)
      out += concat({"Content-Type: multipart/mixed; boundary=b", decimal(i), "\n\n--b", decimal(i), "\n"});
    return out;
  };
  const auto messages = [](std::size_t n) { return repeated("Content-Type: message/rfc822\n\n", n); };
  const auto headers = [](std::size_t n) { return repeated("X: y\n", n); };
  const auto to_fields = [](std::size_t n) { return repeated("To: a@b\n", n); };
  const auto parts = [](std::size_t n) {
    return "Content-Type: multipart/mixed; boundary=b\n\n" + repeated("--b\n", n);
  };
  const auto dashes = [&](std::size_t n) { return nested(100) + repeated("--\n", n); };
  const auto quotes = [](std::size_t n) {
    return "To: " + repeated("\"\\", n) + "\nFrom: " + repeated("(", n) + "\nCc: " + repeated("a:", n / 10) + "\n\n";
  };
  const auto parameters = [](std::size_t n) { return "Content-Type: text/plain" + repeated("; a*1*=b", n) + "\n\n"; };
  const auto folds = [](std::size_t n) { return "Subject:" + repeated("\n x", n) + "\n\n"; };
  const auto words = [](std::size_t n) { return "Subject: " + repeated("=?utf-8?q?", n) + "\n\n"; };
  const auto html = [](std::size_t n) { return "Content-Type: text/html\n\n" + repeated("<a href=\"<!--&#", n); };
  const auto boundary = [](std::size_t n) {
    return "Content-Type: multipart/mixed; boundary=\"" + std::string(n, 'x') + "\"\n\n--" + std::string(n, 'x') +
           "\n\na\n--" + std::string(n, 'x') + "--\n";
  };
  // Wide for sanitizers on a busy machine: at these sizes what is not linear takes minutes.
  constexpr double kLinear = 20;
  CHECK(seconds_for(nested, 10'000) < kLinear);
  CHECK(seconds_for(messages, 10'000) < kLinear);
  CHECK(seconds_for(headers, 1'000'000) < kLinear);
  CHECK(seconds_for(to_fields, 100'000) < kLinear);
  CHECK(seconds_for(parts, 1'000'000) < kLinear);
  CHECK(seconds_for(dashes, 200'000) < kLinear);
  CHECK(seconds_for(quotes, 200'000) < kLinear);
  CHECK(seconds_for(parameters, 100'000) < kLinear);
  CHECK(seconds_for(folds, 1'000'000) < kLinear);
  CHECK(seconds_for(words, 100'000) < kLinear);
  CHECK(seconds_for(html, 100'000) < kLinear);
  CHECK(seconds_for(boundary, 10'000) < kLinear);
  const auto deep = parse(std::string_view());
  CHECK(deep.parts().size() == 1);
}

TEST_CASE("any prefix of a message has a consistent tree") {
  const auto text = test::read_fixture("message/golden/nested.eml");
  for (std::size_t length = 0; length <= text.size(); ++length)
    check_consistent(parse(std::string_view(text).substr(0, length)));
}

TEST_CASE("fields are found in folded, spaced and mixed-case headers") {
  const std::string text =
      "From ann@example.net Mon Jan  1 00:00:00 2024\r\nSubject : one\r\n\ttwo\r\nsubJECT: other\r\nno colon "
      "here\r\nTo:\r\n\r\nbody";
  HeaderFields fields(text);
  CHECK(fields.find("subject") == " one\r\n\ttwo");
  CHECK(unfold(*fields.find("subject")) == "one\ttwo");
  CHECK(fields.count("Subject") == 2);
  CHECK(fields.find("to") == "");
  CHECK_FALSE(fields.find("body"));
  CHECK(header_of(text).size() + 4 == text.size());
  CHECK(body_of(text) == "body");
  const auto tree = parse(text);
  CHECK(tree.field(tree.root(), KnownField::subject) == " one\r\n\ttwo");
  MessageFields known;
  CHECK(find_message_fields("\nbody", known));
  CHECK_FALSE(find_message_fields("Subject: a\r\n b\r\n", known));
  CHECK(known.values[static_cast<std::size_t>(KnownField::subject)] == " a\r\n b");
  CHECK((tree.fields(tree.root()).repeated >> static_cast<unsigned>(KnownField::subject) & 1U) == 1);
  CHECK(unfold("a\r\nb\0c") == "a b");
  CHECK(unfold(std::string_view("a\rb\0c", 5)) == "a b c");
}
