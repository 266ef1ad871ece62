#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/strings.h"
#include "spool/drop.h"
#include "spool/reader.h"
#include "spool/watcher.h"
#include "tests/spool/spool_helpers.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::spool;
using mail::test::contents_of;
using mail::test::envelope_for;
using mail::test::TemporaryDirectory;

TEST_CASE("an envelope is what its text says") {
  auto e = envelope_for({"bob@example.org", "\"a b\"@example.org", "用户@例え.jp"});
  e.helo = "evil\nrcpt w root%2D";
  e.authenticated_user = "-";
  e.body = BodyType::eight_bit_mime;
  e.return_content = ReturnContent::header_fields;
  e.envelope_id = "QQ=314 159";
  e.smtputf8 = e.require_tls = e.tls_optional = e.deliver_by_return = true;
  e.priority = -4;
  e.deliver_by = WallTime(std::chrono::seconds(1'700'003'600));
  e.hold_until = WallTime(std::chrono::seconds(1'700'000'600));
  e.next_attempt = WallTime(std::chrono::seconds(1'700'000'900));
  e.attempts = 7;
  e.recipients[0].notify = {.success = true, .delay = true};
  e.recipients[0].original_recipient = "rfc822;Bob+x@example.org";
  e.recipients[1].state = RecipientState::failed;
  e.recipients[2].user = "user";
  e.recipients[2].detail = "folder";
  const auto again = parse_envelope(print(e));
  REQUIRE(again);
  CHECK(*again == e);
  CHECK(state_offsets(print(e)).size() == 3);
}

TEST_CASE("an envelope whose values contradict each other or do not fit is refused") {
  const auto with = [&](std::string_view old, std::string_view text) {
    auto changed = print(envelope_for({"bob@example.org"}));
    const auto at = changed.find(old);
    REQUIRE(at != std::string::npos);
    return parse_envelope(changed.replace(at, old.size(), text));
  };
  CHECK(with("bob@example.org", "bob@example.org NOTIFY=SUCCESS"));
  CHECK_FALSE(with("bob@example.org", "bob@example.org NOTIFY=NEVER,SUCCESS"));
  CHECK_FALSE(with("retry 00", "retry -1"));
  CHECK_FALSE(with("retry 00", "retry 91"));
  CHECK_FALSE(with("arrival ", "arrival -"));
  CHECK_FALSE(with("arrival ", "arrival 999"));
}

TEST_CASE("a null reverse-path and a dash are told apart") {
  CHECK(quote_word("") == "-");
  CHECK(unquote_word("-") == "");
  CHECK(unquote_word(quote_word("-")) == "-");
  CHECK_FALSE(unquote_word("a%4"));
}

TEST_CASE("any octet changed in a spool file is noticed, but for those that may be overwritten") {
  const auto e = envelope_for({"bob@example.org"});
  const auto text = print(e);
  const std::string content = "Subject: x\r\n\r\nbody\r\n";
  TemporaryDirectory temporary;
  auto opened = Spool::open(temporary / "spool");
  REQUIRE(opened);
  auto writer = Writer::open(*opened, "test");
  REQUIRE(writer);
  REQUIRE((*writer)->put({{Box::queue, e}}, content));
  const auto path = concat({opened->directory(Box::queue).path(), "/", e.id.text()});
  const auto whole = *read_file_at(path);
  REQUIRE(parse_file(whole));
  const auto state = kFirstLineOctets + state_offsets(text)[0];
  for (std::size_t i = 0; i < whole.size(); ++i) {
    auto changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    if (i == state || (i >= kFirstLineOctets + 6 && i < kFirstLineOctets + kRetryLineOctets - 1 &&
                       is_digit(static_cast<unsigned char>(changed[i]))))
      continue;
    CHECK_FALSE(parse_file(changed));
  }
  CHECK_FALSE(parse_file(whole.substr(0, whole.size() - 1)));
  CHECK_FALSE(parse_file(whole + "x"));
}

TEST_CASE("states and retry times are overwritten in place") {
  TemporaryDirectory temporary;
  auto spool = Spool::open(temporary / "spool");
  REQUIRE(spool);
  auto writer = Writer::open(*spool, "test");
  const auto e = envelope_for({"a@example.org", "b@example.org"});
  REQUIRE((*writer)->put({{Box::queue, e}}, "x\r\n"));
  auto message = StoredMessage::open(*spool, Box::queue, e.id);
  REQUIRE(message);
  REQUIRE(message->set_state(1, RecipientState::delivered));
  REQUIRE(message->set_retry(WallTime(std::chrono::seconds(1'800'000'000)), 3));
  CHECK_FALSE(message->set_state(2, RecipientState::delivered));
  const auto again = read_envelope(*spool, Box::queue, e.id);
  REQUIRE(again);
  CHECK(again->recipients[0].state == RecipientState::waiting);
  CHECK(again->recipients[1].state == RecipientState::delivered);
  CHECK(again->attempts == 3);
  CHECK(again->next_attempt == WallTime(std::chrono::seconds(1'800'000'000)));
  REQUIRE(append_log(*spool, Box::queue, e.id, "line\nwith end"));
  CHECK(read_log(*spool, Box::queue, e.id) == "line with end\n");
  REQUIRE(move(*spool, Box::queue, Box::hold, e.id));
  CHECK(read_log(*spool, Box::hold, e.id) == "line with end\n");
  CHECK(contents_of(*spool, Box::hold).size() == 1);
  REQUIRE(remove(*spool, Box::hold, e.id));
  REQUIRE(remove(*spool, Box::hold, e.id));
  CHECK(spool->list(Box::hold)->empty());
}

TEST_CASE("a damaged file goes to corrupt, a whole one stays") {
  TemporaryDirectory temporary;
  auto spool = Spool::open(temporary / "spool");
  auto writer = Writer::open(*spool, "test");
  const auto good = envelope_for({"a@example.org"}), bad = envelope_for({"a@example.org"});
  REQUIRE((*writer)->put({{Box::local, good}}, "x\r\n"));
  REQUIRE((*writer)->put({{Box::local, bad}}, "x\r\n"));
  REQUIRE(::truncate((spool->directory(Box::local).path() + "/" + bad.id.text()).c_str(), 90) == 0);
  const auto opened = StoredMessage::open(*spool, Box::local, bad.id);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().kind == Error::Kind::syntax);
  REQUIRE(set_aside(*spool, Box::local, bad.id, opened.error().text));
  REQUIRE(set_aside(*spool, Box::local, good.id, "a mistake"));
  CHECK(contents_of(*spool, Box::local) == std::vector<std::string>{"x\r\n"});
  CHECK(spool->list(Box::corrupt)->size() == 1);
}

TEST_CASE("others may go through a spool that a daemon has made, to drop") {
  TemporaryDirectory temporary;
  const auto mode = [&] {
    struct stat found {};
    REQUIRE(::stat((temporary / "spool").c_str(), &found) == 0);
    return found.st_mode & 07777U;
  };
  const auto before = ::umask(077);
  REQUIRE(Spool::open(temporary / "spool"));
  ::umask(before);
  CHECK(mode() == 0711);
  REQUIRE(::chmod((temporary / "spool").c_str(), 0700) == 0);
  REQUIRE(Spool::open(temporary / "spool"));
  CHECK(mode() == 0700);  // an operator's wish
}

TEST_CASE("a spool with wrong modes is refused in one line that names the remedy") {
  TemporaryDirectory temporary;
  { REQUIRE(Spool::open(temporary / "spool")); }
  struct stat found {};
  REQUIRE(::stat((temporary / "spool/drop").c_str(), &found) == 0);
  CHECK((found.st_mode & 01777) == 01733);
  REQUIRE(::chmod((temporary / "spool/queue").c_str(), 0755) == 0);
  auto refused = Spool::open(temporary / "spool");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind == Error::Kind::refused);
  CHECK(refused.error().text.find("chmod 0700") != std::string::npos);
  auto none = Spool::open(temporary / "none", {.create = false});
  REQUIRE_FALSE(none);
  CHECK(none.error().kind == Error::Kind::not_found);
}

TEST_CASE("drop: only regular files with one name, finished, are taken") {
  TemporaryDirectory temporary;
  auto spool = Spool::open(temporary / "spool");
  const auto e = envelope_for({"bob@example.org"});
  {
    auto dropper = Spool::open(temporary / "spool", {.create = false, .drop_only = true});
    REQUIRE(dropper);
    REQUIRE(drop(*dropper, e, "Subject: d\r\n\r\n"));
  }
  const auto path = temporary / "spool/drop/";
  const auto taken = read_drop(*spool, e.id.text(), 1 << 20);
  REQUIRE(taken);
  CHECK(taken->envelope == e);
  CHECK(taken->content == "Subject: d\r\n\r\n");
  CHECK(taken->owner == ::getuid());

  const auto kind = [&](const std::string& name) {
    const auto got = read_drop(*spool, name, 200);
    REQUIRE_FALSE(got);
    return got.error().kind;
  };
  CHECK(kind(e.id.text()) == Error::Kind::refused);  // above 200 octets
  REQUIRE(::symlink("/etc/passwd", (path + "link").c_str()) == 0);
  CHECK(kind("link") == Error::Kind::refused);
  REQUIRE(::mkfifo((path + "fifo").c_str(), 0666) == 0);
  CHECK(kind("fifo") == Error::Kind::refused);
  REQUIRE(::mkdir((path + "directory").c_str(), 0700) == 0);
  CHECK(kind("directory") == Error::Kind::refused);
  REQUIRE(::link((path + e.id.text()).c_str(), (path + "second").c_str()) == 0);
  CHECK(kind("second") == Error::Kind::refused);
  CHECK(kind(".unfinished") == Error::Kind::not_found);
  CHECK(kind("gone") == Error::Kind::not_found);
  REQUIRE(::close(::open((path + "empty").c_str(), O_CREAT | O_WRONLY, 0600)) == 0);
  CHECK(kind("empty") == Error::Kind::syntax);
}

TEST_CASE("a watcher tells of messages as they get their names") {
  TemporaryDirectory temporary;
  auto spool = Spool::open(temporary / "spool");
  auto writer = Writer::open(*spool, "test");
  auto watcher = Watcher::open(*spool, {Box::queue, Box::local, Box::drop});
  REQUIRE(watcher);
  const auto e = envelope_for({"a@example.org"}), d = envelope_for({"b@example.org"});
  REQUIRE((*writer)->put({{Box::queue, e}, {Box::local, e}}, "x\r\n"));
  REQUIRE(drop(*spool, d, "x\r\n"));
  REQUIRE(append_log(*spool, Box::queue, e.id, "noise"));
  const auto found = watcher->read();
  REQUIRE(found);
  REQUIRE(found->size() >= 3);
  CHECK((*found)[0].name == e.id.text());
  CHECK((*found)[2].name == d.id.text());
  CHECK(watcher->read()->empty());
  CHECK(watcher->scan()->size() == 3);
}
