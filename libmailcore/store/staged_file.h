// A message on its way into `tmp` of a mailbox: written with LF line ends, counted both ways.
#pragma once
#include <xxhash.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/disk.h"
#include "base/freed.h"
#include "store/account.h"
#include "store/message_file.h"

namespace mail::store {

class StagedFile final : public StagedMessage {
 public:
  StagedFile(Disk& disk, std::shared_ptr<Mailbox> mailbox, const Directory& directory, std::string name, UniqueFd fd);
  ~StagedFile() override;  ///< Removes the file unless it was taken.
  Status write(std::string_view octets) override;
  std::uint64_t octets() const override { return file_octets_ + bare_lf_ + (pending_cr_ ? 1 : 0); }
  Result<std::shared_ptr<MessageFile>> content() override;
  /// Writes what is held back. No write() after it.
  Status finish();
  /// The same, and sets the file's time.
  Status finish(std::int64_t internal_date);
  std::uint64_t file_octets() const { return file_octets_; }
  std::uint64_t wire_octets() const { return file_octets_ + bare_lf_; }
  std::uint64_t hash() const { return hash_result_; }
  const Directory& directory() const { return directory_; }
  const std::string& name() const { return name_; }
  const std::shared_ptr<Mailbox>& mailbox() const { return mailbox_; }
  int fd() const { return fd_.get(); }
  UniqueFd take_fd() { return std::move(fd_); }  ///< After finish().
  void taken() { name_.clear(); }

 private:
  Status spill();
  Status write_held_back();
  Disk& disk_;
  std::shared_ptr<Mailbox> mailbox_;
  const Directory& directory_;
  std::string name_;
  UniqueFd fd_;
  std::string buffer_;
  std::uint64_t file_octets_ = 0, bare_lf_ = 0;
  bool pending_cr_ = false;
  char last_ = 0;
  std::unique_ptr<XXH3_state_t, Freed<XXH3_freeState>> hash_;
  std::uint64_t hash_result_ = 0;
};

}  // namespace mail::store
