// flag, move, copy, delete.
#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/strings.h"
#include "mua/context.h"
#include "mua/text.h"

namespace mail::mua {

namespace {

struct Chosen {
  std::unique_ptr<Source> source;
  std::vector<std::uint32_t> ids;
};

Result<Chosen> choose(const Context& context, const std::string& text) {
  MAIL_TRY(set, IdSet::parse(text));
  auto source = context.source(false);
  if (!source) return tl::unexpected(source.error());
  MAIL_TRY(all, (*source)->ids());
  auto ids = select_ids(set, all);
  if (ids.empty()) return fail(Error::Kind::not_found, concat({"there is no message ", text, " in ", context.folder}));
  return Chosen{std::move(*source), std::move(ids)};
}

int report(const Context& context, const Status& done, std::string_view what, std::size_t count) {
  if (!done) return complain(done.error());
  if (context.json) print(Json::object({{what, decimal(count)}}) + "\n");
  return 0;
}

/// "seen", "unseen", "read", "unread", "+keyword", "!keyword".
void sort_flag(const std::string& word, std::vector<std::string>& add, std::vector<std::string>& remove) {
  if (word == "read") return add.push_back("seen");
  if (word == "unread") return remove.push_back("seen");
  static constexpr std::array<std::string_view, 5> kNames{"seen", "answered", "flagged", "deleted", "draft"};
  if (word.starts_with("un") && std::ranges::find(kNames, std::string_view(word).substr(2)) != kNames.end())
    return remove.push_back(word.substr(2));
  if (word.starts_with('!')) return remove.push_back(word.substr(1));
  add.push_back(word.starts_with('+') ? word.substr(1) : word);
}

int flag(const Context& context, const std::string& ids, const std::vector<std::string>& words) {
  std::vector<std::string> add, remove;
  for (const auto& word : words) sort_flag(word, add, remove);
  auto chosen = choose(context, ids);
  if (!chosen) return complain(chosen.error());
  return report(context, chosen->source->flag(chosen->ids, add, remove), "flagged", chosen->ids.size());
}

int transfer(const Context& context, const std::string& ids, const std::string& folder, bool move) {
  auto chosen = choose(context, ids);
  if (!chosen) return complain(chosen.error());
  const auto done = move ? chosen->source->move(chosen->ids, folder) : chosen->source->copy(chosen->ids, folder);
  return report(context, done, move ? "moved" : "copied", chosen->ids.size());
}

int remove(const Context& context, const std::string& ids, const std::string& trash) {
  auto chosen = choose(context, ids);
  if (!chosen) return complain(chosen.error());
  const auto done = trash.empty() ? chosen->source->remove(chosen->ids) : chosen->source->move(chosen->ids, trash);
  return report(context, done, "deleted", chosen->ids.size());
}

}  // namespace

void add_change_commands(CLI::App& app, Context& context) {
  struct Options {
    std::string ids, folder;
    std::vector<std::string> words;
  };
  auto* command = app.add_subcommand("flag", "Set and clear flags");
  auto flag_options = std::make_shared<Options>();
  command->add_option("IDS", flag_options->ids, "3, 5:9, last, all")->required();
  command
      ->add_option("FLAG", flag_options->words,
                   "seen, unseen, flagged, unflagged, answered, draft, …; +KEYWORD, !KEYWORD")
      ->required();
  command->callback([&context, flag_options] {
    context.run = [&context, flag_options] { return flag(context, flag_options->ids, flag_options->words); };
  });

  for (const bool move : {true, false}) {
    command = app.add_subcommand(move ? "move" : "copy",
                                 move ? "Move messages to another folder" : "Copy messages to another folder");
    auto options = std::make_shared<Options>();
    command->add_option("IDS", options->ids, "3, 5:9, last, all")->required();
    command->add_option("FOLDER", options->folder, "Where to")->required();
    command->callback([&context, options, move] {
      context.run = [&context, options, move] { return transfer(context, options->ids, options->folder, move); };
    });
  }

  command = app.add_subcommand("delete", "Delete messages for good");
  auto delete_options = std::make_shared<Options>();
  command->add_option("IDS", delete_options->ids, "3, 5:9, last, all")->required();
  command->add_option("--trash", delete_options->folder, "Move them to this folder instead");
  command->callback([&context, delete_options] {
    context.run = [&context, delete_options] { return remove(context, delete_options->ids, delete_options->folder); };
  });
}

}  // namespace mail::mua
