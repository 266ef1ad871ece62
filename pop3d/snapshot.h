// The messages of a mailbox as they were at a log-in: numbers, sizes and unique ids that do not change during a session
// (RFC 1939 section 4).
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "pop3/server_session.h"
#include "store/mailbox.h"

namespace mail::pop3d {

/// Immutable: all sessions that found the mailbox in the same state share one.
class Snapshot final : public pop3::Maildrop {
 public:
  /// The view's sizes must be complete.
  explicit Snapshot(const store::View& view);
  std::size_t count() const override { return messages_.size(); }
  std::uint64_t total_octets() const override { return total_octets_; }
  std::uint64_t octets(std::size_t index) const override { return messages_[index].octets; }
  /// Eight hexadecimal digits of the UID and eight of UIDVALIDITY: what Dovecot's pop3_uidl_format gives by default, so
  /// that nobody downloads all mail again who moves from there.
  std::string unique_id(std::size_t index) const override;
  store::Uid uid(std::size_t index) const { return messages_[index].uid; }
  bool is_of(const store::View& view) const;

 private:
  struct Message {
    store::Uid uid;
    std::uint64_t octets;
  };
  std::vector<Message> messages_;
  std::uint64_t total_octets_ = 0;
  store::UidValidity uid_validity_;
  store::Uid uid_next_;
  store::ModSeq highest_modseq_;
};

/// The last snapshots, by user: a client that looks for mail each minute costs no walk through the mailbox.
class SnapshotCache {
 public:
  std::shared_ptr<const Snapshot> of(const std::string& user, const store::View& view);

 private:
  static constexpr std::size_t kMessagesMost = 4'000'000;  ///< In all snapshots: 64 MB.
  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<const Snapshot>> snapshots_;
  std::size_t messages_ = 0;
};

}  // namespace mail::pop3d
