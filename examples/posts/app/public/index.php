<?php

declare(strict_types=1);

require __DIR__ . '/../database.php';

$posts = database()->query('SELECT id, title FROM posts WHERE published ORDER BY id DESC LIMIT 20');

header('Content-Type: application/json');
echo json_encode($posts->fetchAll(PDO::FETCH_ASSOC));
