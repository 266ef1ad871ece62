#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>

#include "base/strings.h"
#include "pop3/commands.h"
#include "pop3/message_writer.h"
#include "pop3/surrogate.h"
#include "tests/pop3/driver.h"
#include "tests/support/fixtures.h"
#include "tests/support/transcript.h"

using namespace mail;
using namespace mail::pop3;
using mail::test::Pop3Driver;
using mail::test::unescape;

namespace {

/// One transcript: settings, then what is said. `S:` is one line, `C:` one with CRLF, `C-raw:` exact octets, `TLS` the
/// handshake, `REMOVED: 1 2` what QUIT took away, `CLOSED` the end.
void run_transcript(const std::filesystem::path& path, bool octet_by_octet) {
  INFO(path.filename().string() << (octet_by_octet ? " octet by octet" : " whole"));
  Options options;
  options.tls_active = true;
  options.tls_mechanisms = {"PLAIN", "LOGIN"};
  std::vector<std::string> messages;
  std::optional<Pop3Driver> driver;
  std::set<std::size_t> gone;
  bool removal_fails = false;
  std::map<std::string, Refusal> refusals;
  std::string expected;
  const auto compare = [&] {
    CHECK(driver->sent == expected);
    driver->sent.clear();
    expected.clear();
  };
  const auto begin = [&] {
    if (driver) return;
    driver.emplace(options);
    driver->maildrop.messages = messages;
    driver->users = {{"ann", "secret word"}, {"mrose", "tanstaaf"}, {"jörg", "pä"}};
    driver->refusals = refusals;
    driver->gone = gone;
    driver->removal_fails = removal_fails;
    if (octet_by_octet) driver->piece_octets = 1;
    driver->pump();
  };
  const auto send = [&](std::string_view octets) {
    compare();
    if (!octet_by_octet) return driver->receive(octets);
    for (std::size_t i = 0; i < octets.size(); ++i) driver->receive(octets.substr(i, 1));
  };
  int line_number = 0;
  const std::string content = test::read_path(path);
  for (std::string_view line : split(content, '\n')) {
    ++line_number;
    if (line.empty() || line.starts_with('#')) continue;
    INFO("line " << line_number << ": " << line);
    const auto [word, rest] = split_once(line, ':');
    const std::string_view value = rest.starts_with(' ') ? rest.substr(1) : rest;
    if (word == "message") {
      messages.push_back(unescape(value));
    } else if (word == "gone") {
      gone.insert(*parse_decimal<std::size_t>(value) - 1);
    } else if (word == "removal-fails") {
      removal_fails = true;
    } else if (word == "refuse") {
      const std::map<std::string_view, Refusal> kinds{{"in_use", Refusal::in_use},
                                                      {"temporary", Refusal::temporary},
                                                      {"permanent", Refusal::permanent},
                                                      {"too_soon", Refusal::too_soon}};
      refusals["ann"] = kinds.at(value);
    } else if (word == "option") {
      const auto [name, setting] = split_once(value, '=');
      if (name == "clear")
        options.tls_active = false, options.tls_available = true;
      else if (name == "no_tls")
        options.tls_active = options.tls_available = false;
      else if (name == "allow_plaintext")
        options.allow_plaintext = true, options.clear_mechanisms = {"PLAIN"};
      else if (name == "apop")
        options.apop_timestamp = setting;
      else if (name == "expire")
        options.expire_days = parse_decimal<unsigned>(setting);
      else if (name == "login_delay")
        options.login_delay_seconds = *parse_decimal<unsigned>(setting);
      else if (name == "errors")
        options.errors_before_close = *parse_decimal<unsigned>(setting);
      else
        FAIL("unknown option");
    } else if (word == "S") {
      begin();
      expected += concat({value, "\r\n"});
    } else if (word == "S-raw") {
      expected += unescape(value);
    } else if (word == "C") {
      send(concat({value, "\r\n"}));
    } else if (word == "C-raw") {
      send(unescape(value));
    } else if (word == "C-repeat") {  // C-repeat: COUNT TEXT
      const auto [count, text] = split_once(value, ' ');
      std::string octets;
      for (int i = 0; i < *parse_decimal<int>(count); ++i) octets += unescape(text);
      send(octets);
    } else if (word == "TLS") {
      compare();
      CHECK(driver->wants_tls);
      driver->wants_tls = false;
      driver->session.tls_started();
      driver->pump();
    } else if (word == "REMOVED") {
      compare();
      std::vector<std::size_t> indices;
      for (const auto number : split_words(value)) indices.push_back(*parse_decimal<std::size_t>(number) - 1);
      CHECK(driver->removed == indices);
    } else if (word == "CLOSED") {
      compare();
      CHECK(driver->closed);
    } else {
      FAIL("unknown line");
    }
  }
  REQUIRE(driver);
  compare();
}

std::string wire(std::string_view stored, std::size_t piece, std::uint64_t lines = MessageWriter::kWhole) {
  MessageWriter writer(lines);
  std::string out;
  while (!stored.empty() && writer.append(stored.substr(0, piece), out))
    stored.remove_prefix(std::min(piece, stored.size()));
  writer.finish(out);
  return out;
}

}  // namespace

TEST_CASE("transcripts") {
  std::size_t count = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(RELAIS_SOURCE_DIR) / "tests/pop3/transcripts")) {
    run_transcript(entry.path(), false);
    run_transcript(entry.path(), true);
    ++count;
  }
  CHECK(count > 10);
}

TEST_CASE("however the input is split, what is sent is the same") {
  const std::string input =
      "CAPA\r\nUSER ann\r\nPASS secret word\r\nSTAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nTOP 2 1\r\nDELE 1\r\nRETR "
      "1\r\nnonsense\r\n"
      "LIST 2\r\nRSET\r\nDELE 2\r\nLANG de\r\nNOOP\r\nQUIT\r\n";
  const auto run = [&](std::size_t cut) {
    Pop3Driver driver({.tls_active = true, .tls_mechanisms = {"PLAIN"}, .apop_timestamp = {}, .expire_days = {}});
    driver.users = {{"ann", "secret word"}};
    driver.maildrop.messages = {"A: 1\n\n.\n..x\nlast", "B: 2\n\none\ntwo\n"};
    driver.pump();
    driver.receive(std::string_view(input).substr(0, cut));
    driver.receive(std::string_view(input).substr(cut));
    CHECK(driver.closed);
    CHECK(driver.removed == std::vector<std::size_t>{1});
    return driver.sent;
  };
  const auto whole = run(0);
  CHECK(whole.find("A: 1\r\n\r\n..\r\n...x\r\nlast\r\n.\r\n") != std::string::npos);
  for (std::size_t cut = 1; cut <= input.size(); ++cut) CHECK(run(cut) == whole);
}

TEST_CASE("a message is written with CRLF and doubled dots, however it is cut") {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", ".\r\n"},
      {"a", "a\r\n.\r\n"},
      {"a\n", "a\r\n.\r\n"},
      {"a\r\n", "a\r\n.\r\n"},
      {"a\r", "a\r\n.\r\n"},
      {".", "..\r\n.\r\n"},
      {"\n\n", "\r\n\r\n.\r\n"},
      {".\n.a\na.\n", "..\r\n..a\r\na.\r\n.\r\n"},
      {"a\r\r\nb\rc\n", "a\r\r\nb\rc\r\n.\r\n"},
  };
  for (const auto& [stored, sent] : cases) {
    for (std::size_t piece = 1; piece <= stored.size() + 1; ++piece) {
      CHECK(wire(stored, piece) == sent);
      CHECK(wire(stored, piece, 1000) == sent);
    }
    CHECK(ServerSession::whole_body(stored) == sent);
  }
}

TEST_CASE("a body of short lines needs more room than was made") {
  std::string stored = "A: 1\n\n", sent = "A: 1\r\n\r\n";
  for (int i = 0; i < 5000; ++i) stored += i % 2 == 0 ? "\n" : ".\n", sent += i % 2 == 0 ? "\r\n" : "..\r\n";
  CHECK(ServerSession::whole_body(stored) == sent + ".\r\n");
  CHECK_FALSE(ServerSession::whole_body("Subject: \xC3\xA9\n\nx\n"));
  CHECK(ServerSession::whole_body("Subject: e\n\n\xC3\xA9\n") == "Subject: e\r\n\r\n\xC3\xA9\r\n.\r\n");
}

TEST_CASE("TOP sends the header, the empty line and so many lines") {
  const std::string_view stored = "A: 1\nB: 2\n\none\n\n.three\nfour\n";
  for (std::size_t piece = 1; piece <= stored.size() + 1; ++piece) {
    CHECK(wire(stored, piece, 0) == "A: 1\r\nB: 2\r\n\r\n.\r\n");
    CHECK(wire(stored, piece, 1) == "A: 1\r\nB: 2\r\n\r\none\r\n.\r\n");
    CHECK(wire(stored, piece, 3) == "A: 1\r\nB: 2\r\n\r\none\r\n\r\n..three\r\n.\r\n");
    CHECK(wire(stored, piece, 9) == wire(stored, 100));
    CHECK(wire("A: 1\r\n\r\none\r\ntwo\r\n", piece, 1) == "A: 1\r\n\r\none\r\n.\r\n");
    CHECK(wire("A: 1\nno body", piece, 0) == "A: 1\r\nno body\r\n.\r\n");
  }
}

TEST_CASE("a header with 8-bit text becomes one with encoded words") {
  CHECK(surrogate_header("Subject: h\xC3\xA9\nX: y\n") == "Subject: =?UTF-8?B?aMOp?=\nX: y\n");
  CHECK(surrogate_header("Subject: h\xC3\xA9 \xC3\xA9 z\n") ==
        "Subject: =?UTF-8?B?aMOp?=\n =?UTF-8?B?IA==?=\n =?UTF-8?B?w6k=?= z\n");
  CHECK(surrogate_header("Subject: \xE9\n") == "Subject: =?unknown-8bit?B?6Q==?=\n");
  CHECK(surrogate_header("From: \"J\xC3\xB6rg, M\" <j@example.org>\n") ==
        "From: =?UTF-8?B?SsO2cmcsIE0=?= <j@example.org>\n");
  CHECK(surrogate_header("From: J <j\xC3\xB6@example.org>\n") == "From: J =?UTF-8?B?PGrDtkBleGFtcGxlLm9yZz4=?= :;\n");
  CHECK(surrogate_header("\xC3\xA9: x\nA: b\n\n") == "A: b\n\n");
  const std::string long_text = "Subject: " + replace_all(std::string(200, 'x'), "x", "\xE6\x97\xA5") + "\n";
  const std::string encoded = surrogate_header(long_text);
  CHECK(is_ascii(encoded));
  for (const auto line : split(encoded, '\n')) CHECK(line.size() <= 90);
}

TEST_CASE("a listing of a large maildrop comes in pieces") {
  Pop3Driver driver({.allow_plaintext = true, .apop_timestamp = {}, .expire_days = {}});
  driver.users = {{"ann", "x"}};
  driver.maildrop.messages.assign(20000, "A: b\n\n");
  driver.session.receive("USER ann\r\nPASS x\r\nLIST\r\nNOOP\r\n");
  std::size_t most = 0, lines = 0;
  for (auto event = driver.session.next(); event; event = driver.session.next()) {
    if (std::holds_alternative<CheckPassword>(*event)) {
      driver.session.accept(driver.maildrop);
      continue;
    }
    const auto octets = std::get<Send>(*event).octets;
    most = std::max(most, octets.size());
    lines += static_cast<std::size_t>(std::ranges::count(octets, '\n'));
  }
  CHECK(lines == 20000 + 6);
  CHECK(most < 40000);
}

TEST_CASE("input that waits for an answer is bounded by its reader") {
  Pop3Driver driver({.allow_plaintext = true, .apop_timestamp = {}, .expire_days = {}});
  driver.session.receive("USER ann\r\nPASS x\r\n");
  while (const auto event = driver.session.next())
    if (std::holds_alternative<CheckPassword>(*event)) break;
  CHECK_FALSE(driver.session.input_full());
  driver.session.receive(std::string(20000, 'x'));
  CHECK(driver.session.input_full());
  CHECK_FALSE(driver.session.next());
}

TEST_CASE("a line without end takes no memory") {
  Pop3Driver driver({.apop_timestamp = {}, .expire_days = {}});
  driver.pump();
  for (int i = 0; i < 1000; ++i) {
    driver.receive(std::string(1000, 'x'));
    CHECK_FALSE(driver.session.input_full());
  }
  driver.sent.clear();
  driver.receive("\r\nNOOP x\r\n");
  CHECK(driver.sent == "-ERR Line is too long\r\n-ERR Not in this state\r\n");
}

TEST_CASE("the table's rows and their functions agree with RFC 1939's states") {
  for (const auto keyword : {"STAT", "LIST", "RETR", "DELE", "NOOP", "RSET", "TOP", "UIDL"})
    CHECK(find_command(keyword)->states == kTransaction);
  for (const auto keyword : {"USER", "PASS", "APOP", "AUTH", "STLS", "UTF8"})
    CHECK(find_command(keyword)->states == kAuthorization);
  CHECK(find_command("retr") == find_command("RETR"));
  CHECK(find_command("RET") == nullptr);
}

TEST_CASE("every text is there in every language, in UTF-8 and on one line") {
  for (const Language language : kLanguages)
    for (int i = 0; i <= static_cast<int>(Text::gone); ++i) {
      const auto words = text(language, static_cast<Text>(i));
      CHECK_FALSE(words.empty());
      CHECK(is_utf8(words));
      CHECK(words.find_first_of("\r\n[") == std::string_view::npos);
      if (language == Language::english) CHECK(is_ascii(words));
    }
  CHECK(find_language("DE-ch") == Language::german);
  CHECK_FALSE(find_language("i-default"));
}
