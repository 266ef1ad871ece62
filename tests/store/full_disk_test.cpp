// A disk without room: what is there can be read, every change is refused and leaves nothing behind, and all goes on
// when there is room.
#include <fcntl.h>

#include <atomic>
#include <catch2/catch.hpp>

#include "tests/store/support.h"

using namespace mail;
using namespace mail::store;
using namespace mail::store::test;

namespace {

/// The system's disk; while it is full, nothing can be written or made.
class FullDisk final : public Disk {
 public:
  std::atomic<bool> full{false};

  Result<Directory> open_directory(const std::string& path) override { return real_.open_directory(path); }
  Result<Directory> open_directory_at(const Directory& parent, const std::string& name) override {
    return real_.open_directory_at(parent, name);
  }
  Result<UniqueFd> open(const Directory& directory, const std::string& name, int flags, mode_t mode) override {
    if (full && (flags & O_CREAT) != 0 && !real_.stat(directory, name)) return no_room();
    return real_.open(directory, name, flags, mode);
  }
  Status write(int fd, std::string_view octets) override { return full ? no_room() : real_.write(fd, octets); }
  Status pwrite(int fd, std::string_view octets, std::uint64_t offset) override {
    return full ? no_room() : real_.pwrite(fd, octets, offset);
  }
  Status truncate(int fd, std::uint64_t octets) override { return real_.truncate(fd, octets); }
  Status allocate(int fd, std::uint64_t offset, std::uint64_t octets) override {
    return full ? no_room() : real_.allocate(fd, offset, octets);
  }
  Status sync(int fd) override { return real_.sync(fd); }
  Status sync_data(int fd) override { return real_.sync_data(fd); }
  Status sync_directory(const Directory& directory) override { return real_.sync_directory(directory); }
  Status sync_filesystem(const Directory& directory) override { return real_.sync_filesystem(directory); }
  Status close(UniqueFd fd) override { return real_.close(std::move(fd)); }
  Status rename(const Directory& from, const std::string& old_name, const Directory& to,
                const std::string& new_name) override {
    return real_.rename(from, old_name, to, new_name);
  }
  Status link(const Directory& from, const std::string& old_name, const Directory& to,
              const std::string& new_name) override {
    return full ? no_room() : real_.link(from, old_name, to, new_name);
  }
  Status unlink(const Directory& directory, const std::string& name) override { return real_.unlink(directory, name); }
  Status make_directory(const Directory& parent, const std::string& name, mode_t mode) override {
    return full ? no_room() : real_.make_directory(parent, name, mode);
  }
  Status remove_directory(const Directory& parent, const std::string& name) override {
    return real_.remove_directory(parent, name);
  }

 private:
  static tl::unexpected<Error> no_room() { return fail_errno("writing", "the disk", ENOSPC); }
  Disk& real_ = Disk::system();
};

StoreSettings settings() {
  auto out = quick_settings();
  out.watch = false;
  return out;
}

}  // namespace

TEST_CASE("a full disk: reading goes on, changes are refused and change nothing, and all goes on with room", "[full]") {
  mail::test::TemporaryDirectory dir;
  FullDisk disk;
  Bench bench(dir / "Maildir", settings(), disk);
  for (int i = 1; i <= 3; ++i) bench.append("m" + std::to_string(i));
  REQUIRE(bench.account->create("Other"));
  bench.select("Other");
  disk.full = true;
  write_text(dir / "Maildir/new/1700000000.M1P1.elsewhere", "Subject: new\n\nx\n");  // another program found room
  auto view = bench.select();
  CHECK(view->exists() == 3);
  REQUIRE(view->open_message(Uid{1}));
  const auto text = simple_message("m4");
  NewMessage message;
  message.octets = text;
  const auto refused = [](const auto& result) {
    REQUIRE_FALSE(result);
    CHECK(result.error().system == ENOSPC);
    CHECK(result.error().kind == Error::Kind::temporary);
  };
  refused(bench.account->append("INBOX", {&message, 1}));
  refused(view->copy(all(), "Other"));
  refused(view->move(all(), "Other"));
  FlagChange change;
  change.uids = UidSet::of(Uid{1});
  change.flags = Flags::deleted;
  refused(view->store_flags(change));
  change.keywords = {"New"};
  refused(view->store_flags(change));
  refused(bench.account->create("Third"));
  refused(bench.account->subscribe("Other", true));
  REQUIRE(view->refresh());
  view->sync(true);
  CHECK(view->existing(all()).text() == "1:3");
  CHECK(view->row(Uid{1})->flags == Flags::none);
  CHECK(names_in(dir / "Maildir/tmp").empty());
  CHECK(names_in(dir / "Maildir/cur").size() == 3);
  CHECK(names_in(dir / "Maildir/.Other/cur").empty());
  CHECK_FALSE(std::filesystem::exists(dir / "Maildir/dovecot-uidlist.lock"));
  // A process that starts now can read too.
  {
    Bench second(dir / "Maildir", settings(), disk);
    CHECK(second.select()->existing(all()).text() == "1:3");
  }
  disk.full = false;
  REQUIRE(view->refresh());
  view->sync(true);
  CHECK(view->existing(all()).text() == "1:4");
  CHECK(bench.append("m5") == Uid{5});
  REQUIRE(view->store_flags(change));
  CHECK(view->row(Uid{1})->flags == Flags::deleted);
  REQUIRE(view->copy(UidSet::of(Uid{2}), "Other"));
  CHECK(bench.select("Other")->exists() == 1);
}
