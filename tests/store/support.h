// What the store's tests share.
#pragma once
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "store/account.h"
#include "store/mailbox.h"
#include "store/store.h"
#include "tests/support/fixtures.h"

namespace mail::store::test {

inline StoreSettings quick_settings() {
  StoreSettings settings;
  settings.flush = false;
  settings.host = "host";
  settings.write_behind = std::chrono::hours(1);  // tests call write_pending()
  settings.parse_threads = 1;
  return settings;
}

inline std::string simple_message(const std::string& subject, const std::string& body = "Hello.") {
  return "From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: " + subject +
         "\r\nDate: Fri, 21 Nov 1997 09:55:06 -0600\r\nMessage-ID: <" + subject + "@example.org>\r\n\r\n" + body +
         "\r\n";
}

/// A store over one account in a directory.
struct Bench {
  explicit Bench(const std::string& maildir, StoreSettings settings = quick_settings(), Disk& disk = Disk::system(),
                 const std::string& index = {}) {
    auto opened = Store::open(std::move(settings), disk);
    if (!opened) throw std::runtime_error(opened.error().text);
    store = *opened;
    AccountLocation location;
    location.user = "ann";
    location.maildir = maildir;
    location.index_directory = index;
    auto got = store->account(location);
    if (!got) throw std::runtime_error(got.error().text);
    account = *got;
  }
  Uid append(const std::string& subject, Flags flags = Flags::none, const std::string& mailbox = "INBOX") {
    const auto text = simple_message(subject);
    NewMessage message;
    message.octets = text;
    message.flags = flags;
    const auto done = account->append(mailbox, {&message, 1});
    if (!done) throw std::runtime_error(done.error().text);
    return done->destination.ranges().front().first;
  }
  std::shared_ptr<View> select(const std::string& name = "INBOX", bool read_only = false) {
    auto view = account->select(name, read_only);
    if (!view) throw std::runtime_error(view.error().text);
    return *view;
  }
  std::shared_ptr<Store> store;
  std::shared_ptr<Account> account;
};

inline std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    out.push_back(entry.path().filename().string());
  std::sort(out.begin(), out.end());
  return out;
}

inline void write_text(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
}

inline UidSet all() { return UidSet({{Uid{1}, Uid{UINT32_MAX}}}); }

}  // namespace mail::store::test
