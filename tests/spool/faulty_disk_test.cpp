// The crash tests' disk itself: what it forgets and what it keeps.
#include "tests/support/faulty_disk.h"

#include <fcntl.h>

#include <catch2/catch.hpp>

#include "tests/support/fixtures.h"

using namespace mail;
using mail::test::FaultyDisk;
using mail::test::Loss;

namespace {
std::string content_of(const std::string& path) {
  auto content = read_file_at(path);
  return content ? *content : "(none)";
}
void make(FaultyDisk& disk, const Directory& in, const std::string& name, std::string_view content, bool sync) {
  auto file = disk.open(in, name, O_CREAT | O_WRONLY);
  REQUIRE(file);
  REQUIRE(disk.write(file->get(), content));
  if (sync) REQUIRE(disk.sync(file->get()));
  REQUIRE(disk.close(std::move(*file)));
}
}  // namespace

TEST_CASE("a name needs its directory synced, content its file") {
  const mail::test::TemporaryDirectory temporary;
  FaultyDisk disk(temporary.path().string());
  auto root = disk.open_directory(temporary.path().string());
  REQUIRE(root);
  make(disk, *root, "nameless", "x", true);
  disk.lose_power();
  CHECK(content_of(temporary / "nameless") == "(none)");

  root = disk.open_directory(temporary.path().string());
  make(disk, *root, "empty", "x", false);
  make(disk, *root, "whole", "0123456789", true);
  REQUIRE(disk.sync_directory(*root));
  REQUIRE(disk.unlink(*root, "whole"));
  disk.lose_power();
  CHECK(content_of(temporary / "empty").empty());
  CHECK(content_of(temporary / "whole") == "0123456789");
}

TEST_CASE("other losses keep the names and tear the content") {
  for (const auto loss : {Loss::data, Loss::half_data}) {
    const mail::test::TemporaryDirectory temporary;
    FaultyDisk disk(temporary.path().string());
    auto root = disk.open_directory(temporary.path().string());
    make(disk, *root, "a", "0123456789", false);
    make(disk, *root, "b", "0123456789", true);
    disk.lose_power(loss);
    CHECK(content_of(temporary / "a") == (loss == Loss::data ? std::string(10, '\0') : "01234" + std::string(5, '\0')));
    CHECK(content_of(temporary / "b") == "0123456789");
  }
}

TEST_CASE("power goes out after a number of calls; an error hits one call") {
  const mail::test::TemporaryDirectory temporary;
  {
    FaultyDisk disk(temporary.path().string(), 1);
    auto root = disk.open_directory(temporary.path().string());
    REQUIRE(root);
    CHECK_FALSE(disk.make_directory(*root, "a"));
    CHECK_FALSE(disk.make_directory(*root, "b"));
    CHECK(disk.stopped());
  }
  FaultyDisk disk(temporary.path().string(), 1, ENOSPC);
  auto root = disk.open_directory(temporary.path().string());
  auto failed = disk.make_directory(*root, "a");
  REQUIRE_FALSE(failed);
  CHECK(failed.error().system == ENOSPC);
  CHECK(disk.make_directory(*root, "a"));
}
