// Each family's rows; the dispatcher searches all of them.
#pragma once
#include <span>

#include "imapd/command.h"

namespace mail::imapd {

std::span<const Command> general_commands();
std::span<const Command> login_commands();
std::span<const Command> mailbox_commands();
std::span<const Command> list_commands();
std::span<const Command> append_commands();
std::span<const Command> idle_commands();
std::span<const Command> fetch_commands();
std::span<const Command> store_commands();
std::span<const Command> copy_commands();
std::span<const Command> search_commands();
std::span<const Command> sort_commands();
std::span<const Command> quota_commands();
std::span<const Command> compress_commands();
std::span<const Command> metadata_commands();
std::span<const Command> acl_commands();
std::span<const Command> urlauth_commands();
std::span<const Command> notify_commands();
std::span<const Command> multisearch_commands();
std::span<const Command> language_commands();
std::span<const Command> uid_batches_commands();

}  // namespace mail::imapd
