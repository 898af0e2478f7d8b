<?php

// The one program behind migrate, worker and scheduler: php console.php migrate|work|publish

declare(strict_types=1);

require __DIR__ . '/database.php';

function migrate(PDO $database): void
{
    foreach (glob(__DIR__ . '/migrations/*.sql') as $file) {
        echo basename($file), "\n";
        $database->exec(file_get_contents($file));
    }
}

function publish(PDO $database): void
{
    $count = $database->exec('UPDATE posts SET published = true WHERE NOT published AND publish_at <= now()');
    echo "published $count\n";
}

function work(PDO $database): void
{
    while (true) {
        $database->exec('DELETE FROM notifications WHERE sent');
        sleep(5);
    }
}

match ($argv[1] ?? '') {
    'migrate' => migrate(database()),
    'publish' => publish(database()),
    'work' => work(database()),
    default => exit("usage: php console.php migrate|work|publish\n"),
};
