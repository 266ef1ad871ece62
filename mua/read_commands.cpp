// list, show, save, search, folders.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/disk.h"
#include "base/strings.h"
#include "message/encoded_word.h"
#include "message/header.h"
#include "message/parameters.h"
#include "message/search_text.h"
#include "message/thread.h"
#include "mua/context.h"
#include "mua/render.h"
#include "mua/text.h"

namespace mail::mua {

namespace {

std::size_t terminal_columns() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) return size.ws_col;
  return 1000;  // not a terminal: nothing is cut
}

/// Octets as they are for files and pipes; never raw to a terminal.
void print_octets(std::string_view octets) {
  if (::isatty(STDOUT_FILENO) != 0) {
    print(for_terminal(octets));
  } else {
    print(octets);
  }
}

void print_items(const std::vector<Item>& items, bool json) {
  if (json) {
    std::string out = "[";
    for (std::size_t i = 0; i < items.size(); ++i) out += (i == 0 ? "\n" : ",\n") + item_json(items[i]);
    print(out + "\n]\n");
    return;
  }
  const auto columns = terminal_columns();
  std::string out;
  for (const auto& item : items) out += item_line(item, columns);
  print(out);
}

void print_threads(const std::vector<Item>& items) {
  std::vector<message::ThreadInput> inputs;
  for (std::uint32_t i = 0; i < items.size(); ++i) {
    message::ThreadInput input;
    input.key = i;
    if (items[i].date) input.sent = items[i].date->time;
    input.message_id = items[i].message_id;
    if (!items[i].in_reply_to.empty()) input.references.push_back(items[i].in_reply_to);
    input.subject = message::base_subject(items[i].subject);
    inputs.push_back(std::move(input));
  }
  const auto columns = terminal_columns();
  std::string out;
  const std::function<void(const message::ThreadNode&, std::size_t)> visit = [&](const message::ThreadNode& node,
                                                                                 std::size_t depth) {
    const bool dummy = node.key == message::ThreadNode::kDummy;
    if (!dummy) out += item_line(items[node.key], columns, std::min<std::size_t>(depth, 20));
    for (const auto& child : node.children) visit(child, dummy ? depth : depth + 1);
  };
  for (const auto& thread : message::thread_by_references(std::move(inputs))) visit(thread, 0);
  print(out);
}

struct ListOptions {
  std::string ids;
  std::size_t limit = 25;
  bool unseen = false;
  bool threads = false;
};

int list(const Context& context, const ListOptions& options) {
  auto source = context.source(true);
  if (!source) return complain(source.error());
  auto ids = (*source)->ids();
  if (!ids) return complain(ids.error());
  if (options.unseen) {
    Query query;
    query.without_flags = {"seen"};
    ids = (*source)->search(query);
    if (!ids) return complain(ids.error());
  }
  if (!options.ids.empty()) {
    const auto set = IdSet::parse(options.ids);
    if (!set) return complain(set.error());
    *ids = select_ids(*set, *ids);
  } else if (options.limit > 0 && ids->size() > options.limit) {
    ids->erase(ids->begin(), ids->end() - static_cast<std::ptrdiff_t>(options.limit));
  }
  const auto items = (*source)->items(*ids);
  if (!items) return complain(items.error());
  if (options.threads && !context.json) {
    print_threads(*items);
  } else {
    print_items(*items, context.json);
  }
  return 0;
}

/// The one message that `text` names, in a folder that is open.
Result<std::uint32_t> one_id(Source& source, const std::string& text) {
  MAIL_TRY(set, IdSet::parse(text));
  MAIL_TRY(all, source.ids());
  const auto chosen = select_ids(set, all);
  if (chosen.empty()) return fail(Error::Kind::not_found, concat({"there is no message ", text}));
  if (chosen.size() > 1) return fail(Error::Kind::syntax, concat({"\"", text, "\" is more than one message"}));
  return chosen.front();
}

/// What a leaf holds, as a file of this system: lines that travelled as lines end in LF again. A file that went in
/// base64 or quoted-printable is as it was; text that is no file is lines in any encoding (RFC 2046 section 4.1.1).
std::string file_content(const message::Tree& tree, const message::Part& part) {
  if (part.kind != message::Part::Kind::leaf) return std::string(tree.body(part));
  auto content = message::decoded_content(tree, part);
  if (!part.is_text()) return content;
  const auto all = leaves(tree);
  const bool is_file =
      std::ranges::any_of(all, [&](const Leaf& leaf) { return leaf.part == &part && leaf.attachment; });
  return is_file && !message::is_identity(part.encoding) ? content : replace_all(content, "\r\n", "\n");
}

struct ShowOptions {
  std::string id = "last";
  std::string part;
  bool raw = false;
  bool header = false;
  bool peek = false;
};

int show(const Context& context, const ShowOptions& options) {
  auto source = context.source(options.peek);
  if (!source) return complain(source.error());
  const auto id = one_id(**source, options.id);
  if (!id) return complain(id.error());
  const auto text = (*source)->fetch(*id);
  if (!text) return complain(text.error());
  const auto tree = message::parse(*text);
  if (!options.part.empty()) {
    const auto* part = tree.find(options.part);
    if (part == nullptr)
      return complain(Error{Error::Kind::not_found, concat({"message ", decimal(*id), " has no part ", options.part})});
    const auto content = file_content(tree, *part);
    context.json ? (void)print(octets_json(content, *id, options.part) + "\n") : print_octets(content);
  } else if (options.raw) {
    context.json ? (void)print(octets_json(*text, *id) + "\n") : print_octets(*text);
  } else if (options.header && context.json) {
    print(header_json(tree, *id) + "\n");
  } else if (context.json) {
    const auto items = (*source)->items({*id});
    if (!items) return complain(items.error());
    print(message_json(tree, items->empty() ? Item{} : items->front()) + "\n");
  } else if (options.header) {
    std::string out;
    for (const auto& field : message::HeaderFields(tree.header(tree.root())))
      out += concat({field.name, ": ", message::decode_header_text(field.value), "\n"});
    print(for_terminal(out));
  } else {
    print(for_terminal(render_message(tree)));
  }
  // With POP3 there is no such flag.
  if (!options.peek) (void)(*source)->flag({*id}, {"seen"}, {});
  return 0;
}

/// Writes a new file below `directory`; another name is taken where there is one of that name.
Result<std::string> save_new(const Directory& directory, const std::string& wanted, std::string_view octets) {
  auto& disk = Disk::system();
  const auto dot = wanted.rfind('.');
  const auto stem = wanted.substr(0, dot), suffix = dot == std::string::npos ? std::string() : wanted.substr(dot);
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const auto name = attempt == 0 ? wanted : concat({stem, "-", decimal(attempt), suffix});
    auto file = disk.open(directory, name, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (!file) {
      if (file.error().system == EEXIST || file.error().system == ELOOP) continue;
      return tl::unexpected(file.error());
    }
    MAIL_CHECK(disk.write(file->get(), octets));
    MAIL_CHECK(disk.close(std::move(*file)));
    return name;
  }
  return fail(Error::Kind::permanent, concat({"there are too many files named ", wanted}));
}

struct SaveOptions {
  std::string id = "last";
  std::string directory = ".";
  std::vector<std::string> parts;
  bool message = false;
};

int save(const Context& context, const SaveOptions& options) {
  auto source = context.source(true);
  if (!source) return complain(source.error());
  const auto id = one_id(**source, options.id);
  if (!id) return complain(id.error());
  const auto text = (*source)->fetch(*id);
  if (!text) return complain(text.error());
  const auto directory = Disk::system().open_directory(options.directory);
  if (!directory) return complain(directory.error());
  std::vector<std::string> saved;
  const auto keep = [&](const std::string& name, std::string_view octets) -> int {
    const auto written = save_new(*directory, name, octets);
    if (!written) return complain(written.error());
    saved.push_back(*written);
    return 0;
  };
  const auto tree = message::parse(*text);
  if (options.message)
    if (const int code = keep(concat({"message-", decimal(*id), ".eml"}), *text); code != 0) return code;
  std::size_t found = 0;
  for (const auto& leaf : leaves(tree)) {
    const bool named = std::ranges::find(options.parts, leaf.number) != options.parts.end();
    if (options.parts.empty() ? options.message || !leaf.attachment : !named) continue;
    ++found;
    const auto name = message::safe_file_name(leaf.file_name, concat({"part-", leaf.number}));
    if (const int code = keep(name, file_content(tree, *leaf.part)); code != 0) return code;
  }
  if (found < options.parts.size())
    return complain(Error{Error::Kind::not_found, concat({"message ", decimal(*id), " has not all of these parts"})});
  std::string out;
  if (context.json) {
    std::vector<std::string> names;
    for (const auto& name : saved) names.push_back(Json::string(name));
    out = Json::array(names) + "\n";
  } else {
    for (const auto& name : saved) out += printable(name) + "\n";
  }
  print(out);
  return 0;
}

struct SearchOptions {
  std::vector<std::string> words, subject, from, to, body, with, without;
  std::string since, before;
  std::uint64_t larger = 0, smaller = 0;
  bool ids_only = false;
};

Result<std::optional<std::chrono::sys_days>> typed_day(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const auto date = message::parse_date(text);
  if (!date) return fail(Error::Kind::syntax, concat({"\"", text, "\" is no date: 2026-11-22 is"}));
  return date->local_day();
}

int search(const Context& context, const SearchOptions& options) {
  Query query{options.words,
              options.body,
              options.subject,
              options.from,
              options.to,
              {},
              {},
              options.with,
              options.without,
              {},
              {}};
  const auto since = typed_day(options.since), before = typed_day(options.before);
  if (!since) return complain(since.error());
  if (!before) return complain(before.error());
  query.since = *since, query.before = *before;
  if (options.larger > 0) query.larger = options.larger;
  if (options.smaller > 0) query.smaller = options.smaller;
  auto source = context.source(true);
  if (!source) return complain(source.error());
  const auto ids = (*source)->search(query);
  if (!ids) return complain(ids.error());
  if (options.ids_only) {
    std::vector<std::string> numbers;
    for (const auto id : *ids) numbers.push_back(decimal(id));
    print(context.json ? Json::array(numbers) + "\n" : numbers.empty() ? "" : join(numbers, "\n") + "\n");
    return 0;
  }
  const auto items = (*source)->items(*ids);
  if (!items) return complain(items.error());
  print_items(*items, context.json);
  return 0;
}

int folders(const Context& context, bool counts) {
  auto source = context.store();
  if (!source) return complain(source.error());
  const auto all = (*source)->folders(counts);
  if (!all) return complain(all.error());
  std::string out;
  std::vector<std::string> json;
  for (const auto& folder : *all) {
    const auto number = [](const std::optional<std::uint32_t>& n) { return n ? decimal(*n) : std::string("null"); };
    json.push_back(
        Json::object({{"name", Json::string(folder.name)},
                      {"selectable", folder.selectable ? "true" : "false"},
                      {"subscribed", folder.subscribed ? "true" : "false"},
                      {"special_use", folder.special_use.empty() ? "null" : Json::string(folder.special_use)},
                      {"messages", number(folder.messages)},
                      {"unseen", number(folder.unseen)}}));
    out += printable(folder.name);
    if (folder.messages)
      out += concat({"\t", decimal(*folder.messages), folder.unseen ? "\t" + decimal(*folder.unseen) + " unseen" : ""});
    if (!folder.special_use.empty()) out += "\t" + printable(folder.special_use);
    out += '\n';
  }
  print(context.json ? Json::array(json) + "\n" : out);
  return 0;
}

}  // namespace

void add_read_commands(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("list", "List the newest messages of a folder");
  auto list_options = std::make_shared<ListOptions>();
  command->add_option("IDS", list_options->ids, "Only these: 3, 5:9, last, all");
  command->add_option("-n,--limit", list_options->limit, "At most so many, the newest (0: all)")->capture_default_str();
  command->add_flag("--unseen", list_options->unseen, "Only messages not seen yet");
  command->add_flag("--threads", list_options->threads, "Replies below what they answer");
  command->callback(
      [&context, list_options] { context.run = [&context, list_options] { return list(context, *list_options); }; });

  command = app.add_subcommand("show", "Show a message as text; HTML becomes text");
  auto show_options = std::make_shared<ShowOptions>();
  command->add_option("ID", show_options->id, "The message; the newest by default")->capture_default_str();
  command->add_option("--part", show_options->part, "Only the content of this part, decoded (2, 1.2)");
  command->add_flag("--raw", show_options->raw, "The message as it is stored");
  command->add_flag("--header", show_options->header, "All header fields, decoded, without the body");
  command->add_flag("--peek", show_options->peek, "Do not mark it as seen");
  command->callback(
      [&context, show_options] { context.run = [&context, show_options] { return show(context, *show_options); }; });

  command = app.add_subcommand("save", "Save attachments as new files");
  auto save_options = std::make_shared<SaveOptions>();
  command->add_option("ID", save_options->id, "The message; the newest by default")->capture_default_str();
  command->add_option("-d,--directory", save_options->directory, "Where to")->capture_default_str();
  command->add_option("--part", save_options->parts, "Only this part (repeatable)")->allow_extra_args(false);
  command->add_flag("--message", save_options->message, "The whole message as message-ID.eml");
  command->callback(
      [&context, save_options] { context.run = [&context, save_options] { return save(context, *save_options); }; });

  command = app.add_subcommand("search", "Find messages; all conditions must hold");
  auto search_options = std::make_shared<SearchOptions>();
  command->add_option("TEXT", search_options->words, "In header or body");
  command->add_option("--subject", search_options->subject, "In the subject")->allow_extra_args(false);
  command->add_option("--sender", search_options->from, "In From")->allow_extra_args(false);
  command->add_option("--to", search_options->to, "In To")->allow_extra_args(false);
  command->add_option("--body", search_options->body, "In the body")->allow_extra_args(false);
  command->add_option("--since", search_options->since, "Written on this day or later (2026-11-22)");
  command->add_option("--before", search_options->before, "Written before this day");
  command->add_option("--with", search_options->with, "Having this flag or keyword: seen, answered, flagged, …")
      ->allow_extra_args(false);
  command->add_option("--without", search_options->without, "Not having it")->allow_extra_args(false);
  command->add_option("--larger", search_options->larger, "More octets than this");
  command->add_option("--smaller", search_options->smaller, "Fewer octets than this");
  command->add_flag("--ids", search_options->ids_only, "Print only the ids");
  command->callback([&context, search_options] {
    context.run = [&context, search_options] { return search(context, *search_options); };
  });

  command = app.add_subcommand("folders", "List the folders");
  auto counts = std::make_shared<bool>(false);
  command->add_flag("--counts", *counts, "With numbers of messages and unseen ones");
  command->callback([&context, counts] { context.run = [&context, counts] { return folders(context, *counts); }; });
}

}  // namespace mail::mua
