// Spool files whose message is done, kept for the next one: file systems overwrite and rename a file many times faster
// than they make one, or give back its blocks. One directory per writer, journal/PROGRAM/pool; readers put files in.
#pragma once
#include <map>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "spool/spool.h"

namespace mail::spool {

/// The writer's side. Thread-safe.
class Pool {
 public:
  /// Makes the directory in journal/PROGRAM where it is missing.
  static Result<std::unique_ptr<Pool>> open(Disk& disk, const Directory& journal);

  const Directory& directory() const { return directory_; }
  /// The name of a file of at most so many octets (in blocks: so that nothing has to be given back), or empty. Its
  /// content is of an earlier message: the caller writes all of it anew and then renames it, or gives it back.
  std::string take(std::uint64_t octets);
  void give_back(std::string name);
  /// The file was renamed, or is gone.
  void gone(const std::string& name);
  /// Looks for files that came, and removes some where there are far too many, or none were wanted for a while. For a
  /// thread that may wait; cheap where nothing happens.
  void look();

 private:
  Pool(Disk& disk, Directory directory) : disk_(disk), directory_(std::move(directory)) {}
  Disk& disk_;
  Directory directory_;
  std::mutex mutex_;
  std::map<std::uint64_t, std::vector<std::string>> free_;  // by blocks
  std::unordered_set<std::string> known_;                   // free or taken
  std::uint64_t taken_ = 0, taken_before_ = 0;
  unsigned quiet_looks_ = 0;
  timespec seen_{};  // when the directory had changed, at the last look
};

/// The reader's side: removes messages by giving their files to a writer's pool. One thread at a time.
class Recycler {
 public:
  Recycler(const Spool& spool, std::string program) : spool_(spool), program_(std::move(program)) {}
  /// As spool::remove(), and under the same condition; and a note of it must be durable: after a power cut the name may
  /// be there again, with another message's octets.
  Status remove(Box box, const MessageId& id);
  /// The same, but for its ID.log, and by one call.
  /// @param octets  the file's size: StoredMessage::file_octets()
  Status remove_file(Box box, const MessageId& id, std::uint64_t octets);

 private:
  bool ready();
  const Spool& spool_;
  std::string program_;
  Directory directory_;
  unsigned until_count_ = 0;  // removals until the pool's files are counted again
  bool full_ = true;
};

}  // namespace mail::spool
