# Rails' ActiveRecord with ruby-pg as its users write it; it connects by libpq's variables and prints a line of JSON for each case.
require 'active_record'
require 'json'
require 'pg'

SHOW = "select current_setting('search_path') as path, current_setting('statement_timeout') as timeout, " \
       "current_setting('TimeZone') as zone, current_setting('work_mem') as memory"

DATABASE = {
  adapter: 'postgresql',
  host: ENV['PGHOST'],
  port: ENV['PGPORT'],
  username: ENV['PGUSER'],
  password: ENV['PGPASSWORD'],
  database: ENV['PGDATABASE'],
  pool: 2
}.freeze

class User < ActiveRecord::Base
  has_many :posts
end

class Post < ActiveRecord::Base
  belongs_to :user, optional: true
end

class Migrate < ActiveRecord::Migration[6.1]
  def change
    create_table(:users) { |t| t.string :name, null: false, index: { unique: true } }
    create_table(:posts) do |t|
      t.string :title
      t.references :user, foreign_key: true
    end
  end
end

# An index that is made outside of a transaction.
class AddIndex < ActiveRecord::Migration[6.1]
  disable_ddl_transaction!

  def change
    add_index :posts, :title, algorithm: :concurrently
  end
end

def connection
  ActiveRecord::Base.connection
end

def connected(**more)
  ActiveRecord::Base.establish_connection(DATABASE.merge(more))
  yield connection
ensure
  ActiveRecord::Base.remove_connection
end

# What it gives, or its SQLSTATE.
def outcome
  yield
rescue ActiveRecord::StatementInvalid => e
  e.cause.respond_to?(:result) && e.cause.result ? e.cause.result.error_field(PG::PG_DIAG_SQLSTATE) : e.class.name
end

def shown(times = 5)
  Array.new(times) { connection.select_rows(SHOW).first }
end

# Two migrations, each on its own connection's advisory lock, as `rails db:migrate` runs them.
def migrate
  migrations = [Migrate, AddIndex].each_with_index.map { |one, index| one.new(one.name, index + 1) }
  schema = ActiveRecord::SchemaMigration
  before = schema.table_exists? ? schema.all_versions.size : 0
  ActiveRecord::Migrator.new(:up, migrations, schema).migrate
  [before, schema.all_versions]
end

def made
  connected do
    connection.execute('drop table if exists posts, users, schema_migrations, ar_internal_metadata')
    ActiveRecord::Migration.verbose = false
    migrated = migrate
    [User, Post].each(&:reset_column_information)
    yield migrated
  end
end

CASES = {
  version: -> { "#{ActiveRecord.version} with pg #{PG::VERSION}" },
  startup: lambda do
    options = '-c work_mem=3MB'
    connected(schema_search_path: 'app, public', variables: { statement_timeout: '7s', TimeZone: 'Asia/Tokyo' }, options: options) do
      shown
    end
  end,
  settings: lambda do
    connected do
      connection.schema_search_path = 'app'
      connection.execute("set time zone 'Asia/Tokyo'")
      connection.execute("set statement_timeout = '7s'")
      connection.execute('set session work_mem = 3072')
      seen = shown
      connection.execute('reset work_mem')
      seen + shown(1)
    end
  end,
  prepared: lambda do
    made do
      3.times { |n| User.create!(name: "n#{n}") }
      seen = [1, 2, 0, 4].map { |n| outcome { User.where('8 / ? > 0', n).where(name: 'n1').pluck(:name) } }
      seen + Array.new(3) { |n| User.find_by(name: "n#{n}")&.id } + [User.find(2).name]
    end
  end,
  changed_table: lambda do
    made do
      user = User.create!(name: 'ada')
      User.find(user.id)
      use = -> { outcome { User.find(user.id).attributes } }
      seen = [use.call]
      PG.connect.tap { |other| other.exec('alter table users add c int default 3') }.close
      seen += [use.call, use.call]
      PG.connect.tap { |other| other.exec('alter table users alter c type text') }.close
      User.reset_column_information
      within = outcome { User.transaction { User.find(user.id).attributes } }
      seen + [use.call, within, use.call]
    end
  end,
  transactions: lambda do
    made do
      seen = []
      User.transaction(isolation: :serializable) do
        seen << connection.select_value('show transaction_isolation')
        User.create!(name: 'ada').posts.create!([{ title: 'a' }, { title: 'b' }])
        User.transaction(requires_new: true) do
          User.create!(name: 'undone')
          raise ActiveRecord::Rollback
        end
      end
      seen << outcome { User.transaction { %w[kurt ada].each { |name| User.create!(name: name) } } }
      seen << connection.select_value('show transaction_isolation')
      ada = User.lock.find_by!(name: 'ada')
      ada.with_lock { ada.update!(name: 'grace') }
      seen + [User.includes(:posts).order(:id).map { |one| [one.name, one.posts.map(&:title).sort] }]
    end
  end,
  cancel: lambda do
    connected do
      slow = outcome do
        ActiveRecord::Base.transaction do
          connection.execute("set local statement_timeout = '100ms'")
          connection.execute('select pg_sleep(30)')
        end
      end
      [slow, connection.select_value('select 1')]
    end
  end,
  copy: lambda do
    made do
      raw = connection.raw_connection
      raw.copy_data('copy users (name) from stdin') { 5_000.times { |n| raw.put_copy_data("word #{n}\n") } }
      read = 0
      raw.copy_data('copy users (name) to stdout') { read += 1 while raw.get_copy_data }
      [User.count, read]
    end
  end,
  listen: lambda do
    connected do
      connection.execute('listen rails')
      connection.execute("notify rails, 'news'")
      heard = nil
      connection.raw_connection.wait_for_notify(10) { |channel, _, payload| heard = [channel, payload] }
      heard
    end
  end,
  batch: lambda do
    made do |migrated|
      again = migrate
      User.insert_all(Array.new(500) { |n| { name: "n#{n}" } })
      refused = outcome { User.insert_all!([{ name: 'new' }, { name: 'n1' }]) }
      User.upsert_all([{ name: 'n1' }], unique_by: :name)
      batches = User.find_in_batches(batch_size: 200).map(&:size)
      [migrated, again, refused, batches, connection.select_values('select indexname from pg_indexes where tablename = \'posts\' order by 1')]
    end
  end,
  large: lambda do
    connected do
      text = 'x' * 1_000_000
      [
        connection.select_value("select length('#{text}')"),
        connection.select_value("select repeat('é', 500000)").length,
        connection.select_values('select generate_series(1, 20000)').length
      ]
    end
  end,
  errors: lambda do
    connected do
      connection.execute('drop table if exists once; create table once (n int primary key); insert into once values (1)')
      texts = ['insert into once values (1)', 'selekt', 'select * from nowhere', 'select 1/0']
      seen = texts.map { |text| outcome { connection.execute(text) } }
      seen << outcome do
        ActiveRecord::Base.transaction do
          outcome { connection.execute('select 1/0') }
          connection.execute('select 1')
        end
      end
      seen << connection.select_value('select count(*) from once')
    end
  end
}.freeze

CASES.each do |name, work|
  result = begin
    { result: work.call }
  rescue StandardError => e
    { error: "#{e.class}: #{e.message}" }
  end
  puts JSON.generate({ case: name, **result })
end
