#include <fcntl.h>

#include <catch2/catch.hpp>
#include <set>

#include "base/cursor.h"
#include "base/disk.h"
#include "base/id.h"
#include "base/log.h"
#include "base/strings.h"
#include "tests/support/fixtures.h"

using namespace mail;

TEST_CASE("a cursor declines without consuming") {
  Cursor c("MAIL 42x");
  CHECK_FALSE(c.take_word("RCPT"));
  CHECK(c.take_word("mail"));
  CHECK_FALSE(c.take_decimal());
  CHECK(c.take(' '));
  CHECK(c.take_decimal() == 42U);
  CHECK(c.rest() == "x");
  CHECK_FALSE(c.take_octets(2));
  CHECK(c.offset() == 7);
  CHECK_FALSE(Cursor("256").take_decimal<unsigned>(255));
}

TEST_CASE("ids sort by time, never repeat, also when the clock goes back") {
  ManualClock clock(WallTime(std::chrono::seconds(1800000000)));
  const auto first = MessageId::generate(clock);
  clock.set(WallTime(std::chrono::seconds(1700000000)));
  std::set<MessageId> seen{first};
  for (int i = 0; i < 1000; ++i) CHECK(seen.insert(MessageId::generate(clock)).second);
  CHECK(*seen.begin() == first);
  CHECK(MessageId::parse(first.text()) == first);
  CHECK_FALSE(MessageId::parse("../../etc/passwd"));
}

TEST_CASE("base64 decodes what it encodes and nothing else") {
  for (std::size_t n = 0; n < 40; ++n) {
    const auto octets = random_octets(n);
    CHECK(from_base64(to_base64(octets)) == octets);
  }
  for (const auto* wrong : {"a", "ab", "abc", "ab=c", "====", "a===", "YQ==YQ==", "Y Q="})
    CHECK_FALSE(from_base64(wrong));
}

TEST_CASE("UTF-8 is checked as RFC 3629 has it") {
  CHECK(is_utf8("h\xC3\xA9 \xE6\x97\xA5 \xF0\x9F\x98\x80"));
  for (const auto* wrong : {"\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE6\x97", "\xFF", "\x80"})
    CHECK_FALSE(is_utf8(wrong));
}

TEST_CASE("what a terminal would act on is shown, not sent") {
  CHECK(printable("a\x1B[31mb\r\n") == "a\\x1b[31mb\\x0d\\x0a");
  CHECK(printable("x\xE2\x80\xAEy") == "xy");  // U+202E
  CHECK(printable("\xFF") == "\xEF\xBF\xBD");
}

TEST_CASE("nothing in a value can forge a log line or a key") {
  CHECK(log_line("rejected", {{"from", "a@b"}, {"helo", "x\nevent=accepted id=1"}, {"n", 3}, {"empty", ""}}) ==
        "event=rejected from=a@b helo=\"x\\\\x0aevent=accepted id=1\" n=3 empty=\"\"");
}

TEST_CASE("the disk seam refuses symbolic links and names the path in errors") {
  test::TemporaryDirectory temporary;
  auto& disk = Disk::system();
  const auto directory = disk.open_directory(temporary.path().string());
  REQUIRE(directory);
  auto file = disk.open(*directory, "a", O_WRONLY | O_CREAT | O_EXCL);
  REQUIRE(file);
  CHECK(disk.write(file->get(), "hello"));
  CHECK(disk.sync(file->get()));
  CHECK(disk.close(std::move(*file)));
  std::filesystem::create_symlink("a", temporary.path() / "link");
  CHECK_FALSE(disk.open(*directory, "link", O_RDONLY));
  CHECK(read_file_at(temporary / "a") == "hello");
  const auto missing = disk.open(*directory, "missing", O_RDONLY);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().kind == Error::Kind::not_found);
  CHECK(missing.error().text.find("missing") != std::string::npos);
  CHECK(disk.list(*directory)->size() == 2);
}
