<?php

declare(strict_types=1);

/** Opens the database that this environment was given. */
function database(): PDO
{
    $source = sprintf('pgsql:host=%s;dbname=%s', getenv('DB_HOST'), getenv('DB_NAME'));

    return new PDO($source, getenv('DB_USER'), getenv('DB_PASSWORD'));
}
